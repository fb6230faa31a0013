// Faults in worker threads, for tests: a module that workers add to their own. Off in normal builds: nothing but a test names it.
//
// Which fault, and where, is in words of shared memory that threads are born with (setEnvironmentData), so that a test changes it from call to
// call while its threads live on.
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import type { Phase } from "../../src/plan/phase.js";
import type { Spec } from "../../src/storage/spec.js";
import type { Driver } from "../../workers/drivers/driver.js";
import { driverOf } from "../../workers/drivers/drivers.js";
import type { Kernels } from "../../workers/kernels.js";
import { runSlice as runReally } from "../../workers/phase.js";
import type { PhaseTask } from "../../workers/task.js";
import { wasm } from "../../workers/webassembly.js";

export const INJECTOR = import.meta.url;
const KEY = "normpool faults";

export const FAULTS = ["exit", "throw", "trap", "wait", "spin", "heap"] as const;
export type Fault = (typeof FAULTS)[number];

/** Where in a slice: when it is claimed, before a tile is loaded, before and after its kernel, when half is stored, when all is done. */
export const POINTS = ["claimed", "loading", "computing", "computed", "storing", "finished"] as const;
export type Point = (typeof POINTS)[number];

export const KINDS = [
  "normalize",
  "moments",
  "apply",
  "reduce",
  "sumRows",
  "accumulate",
  "propagate",
  "differentiate",
  "response",
] as const satisfies readonly Phase["kind"][];

const WORDS = { fault: 0, point: 1, phase: 2, before: 3, times: 4, injected: 5 } as const;
/** After these, how often each fault was injected so far. */
const FIRST_COUNT = Object.keys(WORDS).length;

export interface Injection {
  readonly fault: Fault;
  readonly point: Point;
  /** Null: any. */
  readonly phase: Phase["kind"] | null;
  /** How often the point is passed before. */
  readonly before: number;
  /** How often it then fails. */
  readonly times: number;
}

/** Of the test's side: the words that threads which start from now on are born with. */
export class Injections {
  readonly #words = new Int32Array(new SharedArrayBuffer(4 * (FIRST_COUNT + FAULTS.length)));

  constructor() {
    setEnvironmentData(KEY, this.#words);
  }

  set({ fault, point, phase, before, times }: Injection): void {
    const words = this.#words;
    words[WORDS.fault] = FAULTS.indexOf(fault);
    words[WORDS.point] = POINTS.indexOf(point);
    words[WORDS.phase] = phase === null ? -1 : KINDS.indexOf(phase as (typeof KINDS)[number]);
    words[WORDS.before] = before;
    words[WORDS.injected] = 0;
    Atomics.store(words, WORDS.times, times);
  }

  /** Injects nothing from here on. Returns how often something was. */
  end(): number {
    Atomics.store(this.#words, WORDS.times, 0);
    return Atomics.load(this.#words, WORDS.injected);
  }

  /** How often a fault was injected since the beginning. */
  countOf(fault: Fault): number {
    return Atomics.load(this.#words, FIRST_COUNT + FAULTS.indexOf(fault));
  }
}

let phase: Phase["kind"] | undefined;
let memory: Kernels["memory"];

/** Comes by a point: and fails there if it is to. */
function pass(point: Point): void {
  const words = getEnvironmentData(KEY) as unknown as Int32Array | undefined;
  if (words === undefined || words[WORDS.point] !== POINTS.indexOf(point)) return;
  const wanted = words[WORDS.phase] as number;
  if (wanted !== -1 && KINDS[wanted] !== phase) return;
  if (Atomics.load(words, WORDS.times) <= 0 || Atomics.sub(words, WORDS.before, 1) > 0) return;
  if (Atomics.sub(words, WORDS.times, 1) <= 0) return;
  const fault = words[WORDS.fault] as number;
  Atomics.add(words, WORDS.injected, 1);
  Atomics.add(words, FIRST_COUNT + fault, 1);
  fail(FAULTS[fault] as Fault);
}

/** (module (func (export "trap") unreachable) (func (export "spin") (loop br 0))) */
const MODULE = Uint8Array.of(
  ...[
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 3, 2, 0, 0, 7, 15, 2, 4, 0x74, 0x72, 0x61, 0x70, 0, 0, 4,
  ],
  ...[0x73, 0x70, 0x69, 0x6e, 0, 1, 10, 13, 2, 3, 0, 0, 11, 7, 0, 3, 0x40, 12, 0, 11, 11],
);

function fail(fault: Fault): never {
  switch (fault) {
    case "exit":
      process.exit(7);
      break;
    case "throw":
      throw new Error("told to throw");
    case "trap":
    case "spin":
      (new wasm.Instance(new wasm.Module(MODULE), { env: { memory } }).exports as Record<Fault, () => void>)[fault]();
      break;
    case "wait":
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      break;
    case "heap": {
      const hog: number[][] = [];
      for (;;) hog.push(new Array<number>(65_536).fill(0.5));
    }
  }
  throw new Error(`expected an end by ${fault}`);
}

/** The kernels, which come by a point before and after each tile. */
function watched(kernels: Kernels): Kernels {
  const watch = <T extends object>(arithmetic: T): T =>
    new Proxy(arithmetic, {
      get(target, name) {
        const kernel: unknown = Reflect.get(target, name);
        if (typeof kernel !== "function") return kernel;
        return (...args: unknown[]) => {
          pass("computing");
          kernel(...args);
          pass("computed");
        };
      },
    });
  return { ...kernels, float32: watch(kernels.float32), float64: watch(kernels.float64) };
}

/** Workers compute slices by it. @public */
export function runSlice(kernels: Kernels, task: PhaseTask, slice: number): boolean {
  phase = task.phase.kind;
  memory = kernels.memory;
  pass("claimed");
  const done = runReally(watched(kernels), task, slice);
  pass("finished");
  return done;
}

/** A driver that comes by a point before it loads, and when half of a tile is stored. */
function passing<S extends Spec>(driver: Driver<S>): Driver<S> {
  return {
    ...driver,
    load(spec, runs, memory, to) {
      pass("loading");
      driver.load(spec, runs, memory, to);
    },
    store(spec, runs, memory, from, cached) {
      const bytes = Math.floor(runs.bytes / 16) * 8;
      if (bytes > 0) driver.store(spec, { ...runs, rows: 1, bytes }, memory, from, cached);
      pass("storing");
      driver.store(spec, runs, memory, from, cached);
    },
  };
}

/** Workers import it by its URL. @public */
export const drivers = {
  arena: passing(driverOf({ kind: "arena", address: 0 })),
  shared: passing(driverOf({ kind: "shared", buffer: new SharedArrayBuffer(0), byteOffset: 0 })),
};
