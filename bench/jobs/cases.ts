// Layers whose jobs are timed, and their files.
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { BatchNorm2d, type Layer, LayerNorm } from "../../src/index.js";

const WIDTH = 256;
const SIDE = 64;

export interface JobCase {
  readonly name: string;
  /** For so many cells, a multiple of a sample's. */
  shapeOf(cells: number): readonly number[];
  readonly layer: Layer;
  /** Whether its jobs have a moments phase. */
  readonly hasMoments: boolean;
}

/** The cells of a sample of planes: all files are multiples of it. */
export const SAMPLE_CELLS = WIDTH * SIDE * SIDE;

export const BATCH_NORM: JobCase = {
  name: `BatchNorm of [N, ${WIDTH}, ${SIDE}, ${SIDE}], training`,
  shapeOf: (cells) => [cells / SAMPLE_CELLS, WIDTH, SIDE, SIDE],
  layer: new BatchNorm2d(WIDTH, { trackRunningStats: false }),
  hasMoments: true,
};

export const LAYER_NORM: JobCase = {
  name: `LayerNorm of [N, ${WIDTH}]`,
  shapeOf: (cells) => [cells / WIDTH, WIDTH],
  layer: new LayerNorm(WIDTH),
  hasMoments: false,
};

/** Writes float32 cells, some of which are repeated. */
export async function writeCells(path: string, bytes: number): Promise<void> {
  const cells = Float32Array.from({ length: SAMPLE_CELLS }, (_, i) => 3 + 2 * Math.sin(i * i));
  const file = await open(path, "w");
  try {
    for (let at = 0; at < bytes; at += cells.byteLength) {
      await file.write(new Uint8Array(cells.buffer), 0, Math.min(cells.byteLength, bytes - at), at);
    }
    // What is written later is not to wait for it.
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Throws unless two files have the same bytes. */
export async function compareFiles(name: string, a: string, b: string): Promise<void> {
  const chunksOf = (path: string): AsyncIterator<Buffer> => createReadStream(path, READING)[Symbol.asyncIterator]();
  const [left, right] = [chunksOf(a), chunksOf(b)];
  for (let at = 0; ; ) {
    const [one, other] = await Promise.all([left.next(), right.next()]);
    if (one.done && other.done) return;
    if (one.done || other.done || !one.value.equals(other.value)) {
      throw new Error(`${name}: ${a} and ${b} differ at byte ${at} or up to ${READING.highWaterMark} after it`);
    }
    at += one.value.length;
  }
}

const READING = { highWaterMark: 1 << 22 };
