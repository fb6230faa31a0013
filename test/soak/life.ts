// The life of one pool: callers that ask it at once, in every way and with every end, until it is closed, by kindness or by force.
import { expect } from "vitest";
import {
  AbortedError,
  type CallOptions,
  NormPool,
  PoolClosedError,
  QueueFullError,
  TimedOutError,
  WorkerFailedError,
} from "../../src/index.js";
import { ATTEMPTS } from "../../src/run/work.js";
import { INJECTOR } from "../faults/injector.js";
import { expectOthersWhole } from "../faults/whole.js";
import type { Faults } from "./faults.js";
import {
  ask,
  type Checksums,
  checksumsOf,
  type Found,
  nameOf,
  PLAIN,
  type Place,
  QUESTIONS,
  type Question,
  type Spoilt,
  type Way,
} from "./questions.js";
import { pick } from "./random.js";

/** Milliseconds. A thread that has no turn on a busy machine for so long would be taken to be stuck. */
const SLICE_TIMEOUT = 3000;
/** A signal fires, or a time limit ends, within so many milliseconds. */
const SOON = 40;

export interface Counts {
  pools: number;
  calls: number;
  compared: number;
  arrays: number;
  aborted: number;
  errors: Record<string, number>;
  threadsLost: number;
  slicesLost: number;
}

/** A pool on whose calling thread all is computed, without faults: what is to come out. */
const plain = new NormPool({ threads: 1 }, { placer: () => "calling thread" });

const expected = new Map<Question, Checksums>();

/** Asks each question once, and holds what is found against the oracle. */
export async function prepare(hold: (question: Question, found: Found) => void): Promise<void> {
  for (const question of QUESTIONS) {
    const checksums = await ask(plain, question, PLAIN, (found) => {
      hold(question, found);
      return checksumsOf(found);
    });
    expected.set(question, checksums);
  }
}

export class Life {
  readonly #random: () => number;
  readonly #faults: Faults;
  readonly #counts: Counts;
  readonly #pool: NormPool;
  readonly #maxQueue: number;
  /** Calls that are left. */
  #left: number;
  #aborts = false;

  constructor(random: () => number, threads: number, faults: Faults, counts: Counts) {
    this.#random = random;
    this.#faults = faults;
    this.#counts = counts;
    this.#left = 5 + Math.floor(random() * 60);
    this.#maxQueue = random() < 0.1 ? 2 : 100;
    const options = {
      threads: 1 + Math.floor(random() * threads),
      maxQueue: this.#maxQueue,
      sliceTimeout: SLICE_TIMEOUT,
    };
    this.#pool = new NormPool(options, {
      modules: [INJECTOR],
      // Few bytes of tables: many stripes.
      ...(random() < 0.2 && { stripeBytes: 60_000 }),
      ...(random() < 0.3 && { placer: () => "workers" as const }),
    });
  }

  /** Lives until its calls are made, or `until`. */
  async run(until: number): Promise<void> {
    this.#counts.pools++;
    const callers = Array.from({ length: 1 + Math.floor(this.#random() * 4) }, async () => {
      while (this.#left-- > 0 && Date.now() < until && !this.#aborts) await this.#call();
    });
    // Of those that are closed by force, some in the middle.
    const byForce = this.#random() < 0.3;
    await (byForce ? Promise.race(callers) : Promise.all(callers));
    this.#aborts = byForce;
    await this.#pool.close({ abort: byForce });
    await Promise.all(callers);
    const { threads, threadsLost, slicesLost } = this.#pool.stats();
    this.#counts.threadsLost += threadsLost;
    this.#counts.slicesLost += slicesLost;
    expect(threads, "threads of a closed pool").toBe(0);
    // What a call does not give back itself is not left to the collector.
    expect(this.#pool.stats().memoryInUse, "bytes in use of a closed pool").toBe(0);
  }

  async #call(): Promise<void> {
    const random = this.#random;
    const question = pick(random, QUESTIONS);
    const { way, signal, fires } = this.#wayFor(question);
    const name = `${nameOf(question, way)} (${this.#pool.threads} threads)`;
    const faultsBefore = this.#faults.count;
    this.#counts.calls++;
    let spoilt: Spoilt | undefined;
    try {
      const found = await ask(this.#pool, question, way, checksumsOf, (left) => {
        spoilt = left;
      });
      expect(found, name).toEqual(expected.get(question));
      this.#counts.compared++;
      this.#counts.arrays += Object.keys(found).length;
    } catch (error) {
      if (!(error instanceof Error) || error.name === "AssertionError") throw error;
      const faults = this.#faults.count - faultsBefore;
      this.#expectDocumented(error, name, way, signal, faults);
      if (error instanceof WorkerFailedError && spoilt !== undefined) await expectRestWhole(question, error, spoilt);
      this.#counts.errors[error.name] = (this.#counts.errors[error.name] ?? 0) + 1;
    } finally {
      clearTimeout(fires);
    }
  }

  #wayFor(question: Question): {
    readonly way: Way;
    readonly signal: AbortSignal | undefined;
    readonly fires: NodeJS.Timeout | undefined;
  } {
    const random = this.#random;
    const places: readonly Place[] =
      question.kind.startsWith("moments") || question.dtype === "uint8"
        ? ["apart"]
        : ["apart", "apart", "in place", "in place, safe"];
    let options: CallOptions = {};
    let signal: AbortSignal | undefined;
    let fires: NodeJS.Timeout | undefined;
    const end = random();
    if (end < 0.15) {
      const controller = new AbortController();
      signal = controller.signal;
      fires = setTimeout(() => {
        this.#counts.aborted++;
        controller.abort(new Error("the soak's"));
      }, random() * SOON);
      options = { signal };
    } else if (end < 0.25) options = { timeout: 1 + random() * SOON };
    else if (end < 0.5) options = { onProgress: () => {} };
    return { way: { wrapped: random() < 0.4, place: pick(random, places), options }, signal, fires };
  }

  /** Holds an error to be one that is documented for what happened. @param faults how many there were in the meantime, of all calls. */
  #expectDocumented(
    error: Error,
    name: string,
    { place, options }: Way,
    signal: AbortSignal | undefined,
    faults: number,
  ): void {
    const isDue =
      (error instanceof AbortedError && signal?.aborted === true && error.cause === signal.reason) ||
      (error instanceof TimedOutError && options.timeout !== undefined) ||
      (error instanceof PoolClosedError && this.#aborts) ||
      (error instanceof QueueFullError && this.#maxQueue === 2) ||
      (error instanceof WorkerFailedError && isWorkersFault(error, place, faults));
    if (!isDue) throw new Error(`${name}: an error that nothing explains, after ${faults} faults`, { cause: error });
  }
}

/** Each attempt at a slice was lost, or one that had begun to write over its input. */
function isWorkersFault({ lost, undefinedCells }: WorkerFailedError, place: Place, faults: number): boolean {
  const spoilt = place === "in place" && undefinedCells.length > 0;
  return faults >= (spoilt ? 1 : ATTEMPTS) && (spoilt || lost === undefined || lost.attempt === ATTEMPTS);
}

/** Holds the cells that an error does not name to be what they were, or what they were to be. */
async function expectRestWhole(question: Question, { undefinedCells }: WorkerFailedError, left: Spoilt): Promise<void> {
  await ask(plain, question, PLAIN, (found) => {
    const { buffer, byteOffset, byteLength } = (found.output ?? found.gradInput) as ArrayBufferView;
    expectOthersWhole({ ...left, whole: new Uint8Array(buffer, byteOffset, byteLength) }, undefinedCells);
  });
}
