// A module of workers, for tests: it counts their kernels, and holds one of them, so that what happens meanwhile is in the middle of a call.
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import type { Kernels } from "../workers/kernels.js";
import { runSlice as runReally } from "../workers/phase.js";
import type { PhaseTask } from "../workers/task.js";

export const HOLDING = import.meta.url;
const KEY = "normpool holding";
const WORDS = { kernels: 0, holdAt: 1, isHeld: 2, isOver: 3 } as const;

/** Of the test's side: threads that start from now on see it. */
export class Hold {
  readonly #words = new Int32Array(new SharedArrayBuffer(16));

  constructor() {
    setEnvironmentData(KEY, this.#words);
  }

  /** Counts from 0, and holds who comes to kernel `at`; 0: nobody. */
  begin(at: number): void {
    this.#words.fill(0);
    Atomics.store(this.#words, WORDS.holdAt, at);
  }

  get kernels(): number {
    return Atomics.load(this.#words, WORDS.kernels);
  }

  async held(): Promise<void> {
    while (Atomics.load(this.#words, WORDS.isHeld) === 0) await new Promise(setImmediate);
  }

  release(): void {
    Atomics.store(this.#words, WORDS.isOver, 1);
    Atomics.notify(this.#words, WORDS.isOver);
  }
}

function meet(): void {
  const words = getEnvironmentData(KEY) as unknown as Int32Array;
  if (Atomics.add(words, WORDS.kernels, 1) + 1 !== words[WORDS.holdAt]) return;
  Atomics.store(words, WORDS.isHeld, 1);
  Atomics.wait(words, WORDS.isOver, 0);
}

/** The kernels, each of which is met before it runs. */
function met(kernels: Kernels, meet: () => void): Kernels {
  const watch = <T extends object>(arithmetic: T): T =>
    new Proxy(arithmetic, {
      get(target, name) {
        const kernel: unknown = Reflect.get(target, name);
        if (typeof kernel !== "function") return kernel;
        return (...args: unknown[]) => {
          meet();
          kernel(...args);
        };
      },
    });
  return { ...kernels, float32: watch(kernels.float32), float64: watch(kernels.float64) };
}

/** Workers compute slices by it. @public */
export function runSlice(kernels: Kernels, task: PhaseTask, slice: number): boolean {
  return runReally(met(kernels, meet), task, slice);
}
