// Faults at random: slices that fail in workers, and workers that are ended from outside, at any moment.
import type { Worker } from "node:worker_threads";
import { FAULTS, type Fault, Injections, KINDS, POINTS } from "../faults/injector.js";
import { pick } from "./random.js";

/** Stuck threads wait for the pool's sliceTimeout, full heaps for the collector: they are rarer, or nothing else would happen. */
const OFTEN: readonly Fault[] = [...(["exit", "throw", "trap"] as const)].flatMap((fault) =>
  Array<Fault>(10).fill(fault),
);
const MIX: readonly Fault[] = [...OFTEN, ...FAULTS];

/** How often what is ended from outside is, beside what is injected. */
const TERMINATED = 0.15;

/** Milliseconds between two faults, at most. */
const PAUSE = 200;

export class Faults {
  /** Threads that there are. */
  readonly #alive = new Set<Worker>();
  readonly #injections = new Injections();
  readonly #random: () => number;
  #started = 0;
  #terminated = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(random: () => number) {
    this.#random = random;
    process.on("worker", (worker) => {
      this.#started++;
      this.#alive.add(worker);
      worker.once("exit", () => this.#alive.delete(worker));
    });
  }

  /** Threads that have started, and those that there are. */
  get threads(): { readonly started: number; readonly alive: number } {
    return { started: this.#started, alive: this.#alive.size };
  }

  get counts(): Readonly<Record<Fault | "terminated", number>> {
    const counted = Object.fromEntries(FAULTS.map((fault) => [fault, this.#injections.countOf(fault)]));
    return { ...(counted as Record<Fault, number>), terminated: this.#terminated };
  }

  get count(): number {
    return Object.values(this.counts).reduce((a, b) => a + b, 0);
  }

  begin(): void {
    const random = this.#random;
    if (random() < TERMINATED && this.#alive.size > 0) {
      this.#terminated++;
      void pick(random, [...this.#alive]).terminate();
    } else {
      this.#injections.set({
        fault: pick(random, MIX),
        point: pick(random, POINTS),
        phase: random() < 0.7 ? null : pick(random, KINDS),
        before: Math.floor(random() ** 2 * 30),
        times: pick(random, [1, 1, 1, 2, 5]),
      });
    }
    this.#timer = setTimeout(() => this.begin(), random() * PAUSE);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#injections.end();
  }
}
