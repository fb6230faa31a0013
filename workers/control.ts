// The control block of a phase: what those who work on it say to each other, and what is known of each slice if one of them is lost.

/** Int32 indices into a control block. After these come a word for each seat, and one for each slice. */
export const CONTROL = {
  /** The next slice to claim; whoever claims adds 1. */
  cursor: 0,
  /** One of STOP. Written by the calling thread. */
  stop: 1,
  /** Slices finished; whoever finishes one adds 1. */
  done: 2,
  /** How many seats have a word. */
  seats: 3,
} as const;
const FIRST_SEAT = 4;

/** What those who work on it are to do. */
export const STOP = {
  /** Go on. */
  no: 0,
  /** Claim no more slices. Read before each claim. */
  afterSlice: 1,
  /** Nor go on with those that are claimed, which stay as they are. Read now and then in a slice that takes long. */
  atOnce: 2,
} as const;

export function goesOn(control: Control): boolean {
  return Atomics.load(control, CONTROL.stop) !== STOP.atOnce;
}

/** A slice's word when it is finished. */
const DONE = -1;

/**
 * A slice's word until then: 3 * t + one of these, where tiles before tile t are all done. Slices that are not cut into tiles of their own are
 * one tile.
 */
export const STAGE_OF = {
  /** Nothing of the tile has been written anywhere. */
  waiting: 0,
  /** Its sums, and where it is not staged its results, are being written. */
  computing: 1,
  /** All of it is computed, and is on its way from the stage to the tensor. */
  storing: 2,
} as const;
export type TileStage = (typeof STAGE_OF)[keyof typeof STAGE_OF];
const STAGES = 3;

export type Control = Int32Array<SharedArrayBuffer>;

export function makeControl(seats: number, slices: number): Control {
  const control = new Int32Array(new SharedArrayBuffer(4 * (FIRST_SEAT + seats + slices)));
  control[CONTROL.seats] = seats;
  return control;
}

function indexOf(control: Control, slice: number): number {
  return FIRST_SEAT + (control[CONTROL.seats] as number) + slice;
}

export function isDone(control: Control, slice: number): boolean {
  return Atomics.load(control, indexOf(control, slice)) === DONE;
}

/** The tile that a slice that is not done has come to, and how far that is. */
export function progressOf(control: Control, slice: number): { readonly tile: number; readonly stage: TileStage } {
  const word = Atomics.load(control, indexOf(control, slice));
  return { tile: Math.floor(word / STAGES), stage: (word % STAGES) as TileStage };
}

export function setProgress(control: Control, slice: number, tile: number, stage: TileStage): void {
  Atomics.store(control, indexOf(control, slice), STAGES * tile + stage);
}

/** The slice that a seat has claimed and not finished, if any. */
export function sliceOf(control: Control, seat: number): number | undefined {
  const word = Atomics.load(control, FIRST_SEAT + seat);
  return word === 0 ? undefined : word - 1;
}

/** Notes that a slice is finished, by whoever had `seat`. */
export function finish(control: Control, seat: number, slice: number): void {
  Atomics.store(control, indexOf(control, slice), DONE);
  Atomics.store(control, FIRST_SEAT + seat, 0);
  Atomics.add(control, CONTROL.done, 1);
}

/** Notes whose a slice is. Who is lost before this leaves a slice of which nothing has been done. */
export function claim(control: Control, seat: number, slice: number): void {
  Atomics.store(control, FIRST_SEAT + seat, slice + 1);
}

/** Frees the seat of one who is lost. */
export function leave(control: Control, seat: number): void {
  Atomics.store(control, FIRST_SEAT + seat, 0);
}

/**
 * Where nobody works on it any more: counts what is done anew (one who was lost may not have come to it), and has what is not claimed again.
 * Returns how many slices are done.
 */
export function recount(control: Control, slices: number): number {
  let done = 0;
  let first = slices;
  for (let slice = slices - 1; slice >= 0; slice--) {
    if (isDone(control, slice)) done++;
    else first = slice;
  }
  Atomics.store(control, CONTROL.done, done);
  Atomics.store(control, CONTROL.cursor, first);
  return done;
}
