// A driver for tests that fails on demand, on the calling thread and in workers alike: shared memory, but for what it is told to fail at.
import type { Shape } from "../src/index.js";
import type { Spec } from "../src/storage/spec.js";
import { DTYPES, type Dtype } from "../src/tensor/dtype.js";
import { Tensor } from "../src/tensor/tensor.js";
import type { Driver } from "../workers/drivers/driver.js";
import { shared } from "../workers/drivers/shared.js";

export const FAILING_DRIVER = import.meta.url;

const STEPS = ["open", "load", "store", "close"] as const;
export type FailingStep = (typeof STEPS)[number];

/** Int32 words that all threads see: how often each step is to succeed before it fails, and how often `open` and `close` were called. */
const WORDS = { open: 0, load: 1, store: 2, close: 3, opened: 4, closed: 5 } as const;
const NEVER = 2 ** 30;

interface FailingSpec {
  readonly kind: "failing";
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly words: Int32Array<SharedArrayBuffer>;
}

function count(spec: Spec, step: FailingStep): void {
  const { words } = spec as unknown as FailingSpec;
  if (Atomics.sub(words, WORDS[step], 1) <= 0) throw new Error(`told to fail at ${step}`);
}

function sharedOf(spec: Spec) {
  const { buffer, byteOffset } = spec as unknown as FailingSpec;
  return { kind: "shared", buffer, byteOffset } as const;
}

const failing: Driver = {
  open(spec) {
    count(spec, "open");
    Atomics.add((spec as unknown as FailingSpec).words, WORDS.opened, 1);
    return spec;
  },
  close(spec) {
    Atomics.add((spec as unknown as FailingSpec).words, WORDS.closed, 1);
    count(spec, "close");
  },
  lineOffsetOf: (spec, at) => shared.lineOffsetOf(sharedOf(spec), at),
  load(spec, runs, memory, to) {
    count(spec, "load");
    shared.load(sharedOf(spec), runs, memory, to);
  },
  store(spec, runs, memory, from, cached) {
    count(spec, "store");
    shared.store(sharedOf(spec), runs, memory, from, cached);
  },
};

/** Workers import it by its URL. @public */
export const drivers = { failing };

export function failingSpec(buffer: SharedArrayBuffer, byteOffset = 0) {
  const words = new Int32Array(new SharedArrayBuffer(4 * Object.keys(WORDS).length));
  for (const step of STEPS) words[WORDS[step]] = NEVER;
  const spec: FailingSpec = { kind: "failing", buffer, byteOffset, words };
  // To TypeScript there are only the kinds of the product.
  return { spec: spec as unknown as Spec, words };
}

/** A tensor whose cells the failing driver moves. */
export class FailingTensor {
  readonly tensor: Tensor;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(dtype: Dtype, shape: Shape) {
    const cells = shape.reduce((a, b) => a * b, 1);
    const buffer = new SharedArrayBuffer(8 * cells);
    const { spec, words } = failingSpec(buffer);
    this.#words = words;
    const data = DTYPES[dtype].view(buffer, 0, cells);
    this.tensor = new Tensor({ spec, arena: null, data, release: () => {} }, dtype, shape);
  }

  /** Lets a step succeed so many times, and then fail. */
  fail(step: FailingStep, successes = 0): void {
    this.#words[WORDS[step]] = successes;
  }

  /** How many calls hold it open. */
  get open(): number {
    return Atomics.load(this.#words, WORDS.opened) - Atomics.load(this.#words, WORDS.closed);
  }
}
