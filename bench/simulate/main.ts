// npm run simulate [-- --folder DIR] [--from file] [--json file] [--quick] [--machine-gbps n] [--storage-gbps n] [--merge-gbps n] [--part-ms n] [--start-ms n]
// [--queue redis|postgres|none] [--lost-hours n] [--lock-seconds n] [--back-seconds n] [--seed n]
// What a job of any size takes on any number of machines: constants measured here, on files in a folder (default: in memory, where the system has such a
// folder) and held against measured runs, or those of an earlier run (--from), and what the options say of other machines.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { BATCH_NORM, LAYER_NORM } from "../jobs/cases.js";
import { Workers } from "../jobs/workers.js";
import { describeMachine, formatMachine, type Machine } from "../machine.js";
import { formatSection, type SectionText } from "../text.js";
import { Constants, type Measured, QUICK_SIZES, SIZES } from "./constants.js";
import { describeConstants, describeHeld, describeStudy } from "./describe.js";
import { type Held, holdModel } from "./hold.js";
import type { Costs } from "./job.js";
import { QUEUES, type Queue, type Setting, type Study, study } from "./study.js";

const GB = 1e9;
const MIB = 1 << 20;
const MEMORY = "/dev/shm";
const PROCESSES = [1, 2, 3, 4];

const { values } = parseArgs({
  options: {
    folder: { type: "string", default: existsSync(MEMORY) ? MEMORY : tmpdir() },
    from: { type: "string" },
    json: { type: "string" },
    quick: { type: "boolean", default: false },
    // 25 Gbit/s, and a file system of a hundred servers that have as much.
    "machine-gbps": { type: "string", default: "3.125" },
    "storage-gbps": { type: "string", default: "100" },
    "merge-gbps": { type: "string" },
    "part-ms": { type: "string" },
    "start-ms": { type: "string" },
    queue: { type: "string", default: "redis" },
    "lost-hours": { type: "string", default: "1000" },
    "lock-seconds": { type: "string", default: "60" },
    "back-seconds": { type: "string", default: "300" },
    seed: { type: "string", default: "1" },
  },
});

interface Simulated {
  readonly machine: Machine;
  readonly moments: Measured;
  readonly plain: Measured;
  readonly held: readonly Held[];
  readonly setting?: Setting;
  readonly study?: Study;
}

/** Undefined where it is not given. */
function numberOf(option: keyof typeof values): number | undefined {
  const text = values[option];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  console.error(`expected a number for --${option} but got ${text}`);
  process.exit(2);
}

function queueOf(name: string): Queue {
  if (Object.hasOwn(QUEUES, name)) return name as Queue;
  console.error(`expected ${Object.keys(QUEUES).join(", ")} for --queue but got ${name}`);
  process.exit(2);
}

// Before minutes of measuring, not after.
const given = {
  network: GB * (numberOf("machine-gbps") as number),
  storage: GB * (numberOf("storage-gbps") as number),
  merge: numberOf("merge-gbps"),
  part: numberOf("part-ms"),
  start: numberOf("start-ms"),
  queue: queueOf(values.queue),
  lostHours: numberOf("lost-hours") as number,
  lockSeconds: numberOf("lock-seconds") as number,
  backSeconds: numberOf("back-seconds") as number,
  seed: numberOf("seed") as number,
};

async function measure(): Promise<Simulated> {
  const folder = mkdtempSync(join(values.folder, "normpool-simulate-"));
  const cores = availableParallelism();
  const workers = await Workers.start(Math.max(cores, ...PROCESSES), 1);
  try {
    const sizes = values.quick ? QUICK_SIZES : SIZES;
    const place = { folder, workers, cores, sizes };
    const [bytes, partBytes, rounds] = values.quick ? [16 * MIB, 4 * MIB, 1] : [1024 * MIB, 64 * MIB, 3];
    const options = { folder, workers, processes: PROCESSES, bytes, partBytes, rounds };
    const held: Held[] = [];
    const hold = async (of: typeof BATCH_NORM) => {
      const constants = new Constants(of, place);
      const own = await holdModel(of, constants, options);
      print(describeConstants(of.name, constants.measured));
      print(describeHeld(own));
      held.push(own);
      return constants.measured;
    };
    return { machine: describeMachine(), moments: await hold(BATCH_NORM), plain: await hold(LAYER_NORM), held };
  } finally {
    await workers.close();
    rmSync(folder, { recursive: true });
  }
}

function print(text: SectionText): void {
  console.log(`${formatSection(text)}\n`);
}

/** A machine has all its cores, and a network. */
function costsOf({ costs, shared }: Measured): Costs {
  const { network, merge, part } = given;
  const own = part === undefined ? {} : { momentsPartSeconds: part / 1000, applyPartSeconds: part / 1000 };
  return {
    ...costs,
    ...own,
    momentsRate: Math.min(network, shared.moments),
    applyRate: Math.min(network, shared.apply),
    mergeRate: merge === undefined ? Math.min(network, costs.mergeRate) : GB * merge,
  };
}

function settingOf({ moments, plain }: Simulated): Setting {
  const { storage, start, queue, lostHours, lockSeconds, backSeconds, seed } = given;
  const started = start === undefined ? moments.startSeconds : start / 1000;
  return {
    costs: { moments: costsOf(moments), plain: costsOf(plain) },
    storage,
    queueRate: QUEUES[queue],
    // Without a queue each part is a command.
    startSeconds: queue === "none" ? started : 0,
    failures: lostHours === 0 ? null : { everySeconds: 3600 * lostHours, lockSeconds, backSeconds, seed },
  };
}

const measured: Simulated = values.from === undefined ? await measure() : JSON.parse(readFileSync(values.from, "utf8"));
const setting = settingOf(measured);
const found = study(setting, { quick: values.quick });
for (const text of describeStudy(found, setting)) print(text);
console.log(formatMachine(measured.machine));
if (values.json !== undefined) {
  mkdirSync(dirname(values.json), { recursive: true });
  writeFileSync(values.json, `${JSON.stringify({ ...measured, setting, study: found })}\n`);
}
