// One phase of a job as events: workers take parts, move their bytes, and are lost. All that move bytes at a time have the same share of what is shared,
// so that time passes for them alike: a part ends when each of them could have moved so many bytes since it began.
import { Heap } from "./heap.js";
import { exponential, seeded } from "./random.js";

export interface Failures {
  /** Mean time until a worker is lost. */
  readonly everySeconds: number;
  /** Until a part that it had is given to another. */
  readonly lockSeconds: number;
  /** Until another worker is in its place. */
  readonly backSeconds: number;
  readonly seed: number;
}

export interface PhaseModel {
  readonly parts: number;
  /** Bytes that a part moves: read and written. */
  readonly partBytes: number;
  readonly workers: number;
  /** Bytes a second of one worker, and of all together. */
  readonly own: number;
  readonly shared: number;
  /** What a part takes of its worker's time beside moving bytes. */
  readonly partSeconds: number;
  /** What it takes of the queue's time, which gives one part after the other. */
  readonly handOverSeconds: number;
  readonly failures: Failures | null;
}

export interface PhaseRun {
  readonly seconds: number;
  /** Of all parts, what was lost included. */
  readonly movedBytes: number;
  readonly lostBytes: number;
  /** Parts that were begun and lost. */
  readonly lostParts: number;
}

type Event =
  | { readonly kind: "moves" | "back"; readonly worker: Worker; readonly life: number }
  | { readonly kind: "again" }
  | { readonly kind: "fails" };

interface Worker {
  /** How often it was begun anew. */
  life: number;
  state: "idle" | "starts" | "moves" | "lost";
  /** Where its part ends. */
  target: number;
}

interface Moving {
  readonly worker: Worker;
  readonly life: number;
}

export function runPhase(model: PhaseModel): PhaseRun {
  const { parts, partBytes, workers: count, own, shared, partSeconds, handOverSeconds, failures } = model;
  const events = new Heap<Event>();
  const moving = new Heap<Moving>();
  const workers = Array.from({ length: count }, (): Worker => ({ life: 0, state: "idle", target: 0 }));
  const idle = [...workers].reverse();
  const random = seeded(failures?.seed ?? 0);
  const untilFailure = () => exponential(random, (failures as Failures).everySeconds / count);
  // Bytes that one worker would have moved that moved all the time.
  let moved = 0;
  let now = 0;
  let active = 0;
  let waiting = parts;
  let done = 0;
  let queueFree = 0;
  let lostBytes = 0;
  let lostParts = 0;

  const give = () => {
    while (waiting > 0 && idle.length > 0) {
      const worker = idle.pop() as Worker;
      waiting--;
      queueFree = Math.max(now, queueFree) + handOverSeconds;
      worker.state = "starts";
      events.add(queueFree + partSeconds, { kind: "moves", worker, life: worker.life });
    }
  };
  const free = (worker: Worker) => {
    worker.state = "idle";
    idle.push(worker);
  };
  const fail = ({ lockSeconds, backSeconds }: Failures) => {
    const worker = workers[Math.floor(random() * count)] as Worker;
    if (worker.state === "lost") return;
    if (worker.state === "idle") idle.splice(idle.indexOf(worker), 1);
    else {
      lostParts++;
      events.add(now + lockSeconds, { kind: "again" });
    }
    if (worker.state === "moves") {
      active--;
      lostBytes += partBytes - (worker.target - moved);
    }
    worker.state = "lost";
    worker.life++;
    events.add(now + backSeconds, { kind: "back", worker, life: worker.life });
  };

  if (failures !== null) events.add(untilFailure(), { kind: "fails" });
  give();
  while (done < parts) {
    const rate = active === 0 ? 0 : Math.min(own, shared / active);
    const ends = active === 0 ? Number.POSITIVE_INFINITY : now + Math.max(0, moving.least - moved) / rate;
    if (ends <= events.least) {
      now = ends;
      moved = Math.max(moved, moving.least);
      const { worker, life } = moving.take() as Moving;
      if (worker.life !== life) continue; // it was lost
      active--;
      done++;
      free(worker);
    } else {
      moved += (events.least - now) * rate;
      now = events.least;
      const event = events.take() as Event;
      if (event.kind === "again") waiting++;
      else if (event.kind === "fails") {
        fail(failures as Failures);
        events.add(now + untilFailure(), event);
      } else if (event.worker.life === event.life) {
        const { worker, life } = event;
        if (event.kind === "back") free(worker);
        else {
          active++;
          worker.state = "moves";
          worker.target = moved + partBytes;
          moving.add(worker.target, { worker, life });
        }
      }
    }
    give();
  }
  return { seconds: now, movedBytes: parts * partBytes + lostBytes, lostBytes, lostParts };
}
