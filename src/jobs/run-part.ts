// Does one part of a job. Whoever does it, and however often: what it leaves is the same.
import { setTimeout } from "node:timers/promises";
import { describe } from "../describe.js";
import { AbortedError, InvalidArgumentError, WriteFailedError } from "../errors.js";
import { CELL_BYTES } from "../plan/cells.js";
import type { PartPhase } from "../plan/parts.js";
import { isPool, type NormPool, runOn } from "../pool.js";
import { runApplyPart, runMomentsPart } from "../run/run-part.js";
import { drive } from "../run/steps.js";
import type { Tensor } from "../tensor/tensor.js";
import { inFolder, MOMENTS_FILE, partFile, writeRecord } from "./folder.js";
import type { Job } from "./job.js";
import { checkPhase, hasCells, hasPartials, momentsHead, type PartNote, partialsHead } from "./left.js";
import { type LoadedJob, loadJob, loadWeights, openInput, unlessFinished } from "./load-job.js";
import { NumbersReader, writeNumbers } from "./numbers-file.js";
import { type JobOptions, type RunPartOptions, readJobOptions } from "./options.js";
import { openPartialTensor, partialInode, syncPartial } from "./output-file.js";
import { unitsByInput } from "./part-units.js";
import { applyCallOf, momentsCallOf, phasesOfJob } from "./planned.js";

/**
 * Does part `part`, 0 or more, of a phase of a job: `moments` before the merge, `apply` after it. A part that is done is not done again, nor one of a job that is finished.
 * It is done when it is on the disk.
 * @throws (as rejection) InvalidArgumentError, also where the job has no such part or its moments are not merged; ReadFailedError where an input is not what it was when
 * the job was planned; FileFormatError where the job's files are not what they were; WriteFailedError, WorkerFailedError, AbortedError, PoolClosedError
 */
export async function runPart(
  pool: NormPool,
  folder: string,
  phase: PartPhase,
  part: number,
  given: RunPartOptions = {},
): Promise<void> {
  const operation = "runPart";
  if (!isPool(pool)) throw new InvalidArgumentError(operation, "pool", "a NormPool", describe(pool));
  const options = readJobOptions(operation, given, ["onProgress"]);
  const loaded = await loadJob(operation, folder, options);
  const { job, finished } = loaded;
  checkPhase(operation, loaded, phase);
  if (!Number.isSafeInteger(part) || part < 0 || part >= job.parts) {
    throw new InvalidArgumentError(operation, "part", `0 to ${job.parts - 1}`, describe(part));
  }
  const isDone = () =>
    phase === "moments"
      ? hasPartials(operation, loaded, part)
      : partialInode(operation, job).then((inode) => hasCells(operation, loaded, part, inode));
  if (finished || (await isDone())) return;
  const run = { operation, pool, loaded, part, options };
  await unlessFinished(operation, loaded, options, () => (phase === "moments" ? findPartials(run) : applyPart(run)));
}

interface Run {
  readonly operation: string;
  readonly pool: NormPool;
  readonly loaded: LoadedJob;
  readonly part: number;
  readonly options: RunPartOptions;
}

async function findPartials({ operation, pool, loaded, part, options }: Run): Promise<void> {
  const { folder, job, plans } = loaded;
  const head = partialsHead(job, plans, part);
  await writeNumbers(operation, inFolder(folder, head.name), head, async (writer) => {
    for (const { planned, units } of unitsByInput(job, plans, "moments", part)) {
      using x = await openInput(operation, planned.input);
      const call = momentsCallOf(operation, planned, job, options);
      await runOn(pool, operation, x, (executor) =>
        drive(runMomentsPart(executor, call, x, units, (pairs) => writer.put(pairs))),
      );
    }
    throwIfAborted(operation, options);
  });
}

async function applyPart({ operation, pool, loaded, part, options }: Run): Promise<void> {
  const { folder, job, plans } = loaded;
  const reader = await openMoments(operation, loaded);
  try {
    const opened = await openPartialTensor(operation, job);
    if (opened === undefined) {
      throw new WriteFailedError(operation, job.output.path, "the file that the job writes to is gone: plan it again");
    }
    using y = opened.y;
    for (const { planned, units } of unitsByInput(job, plans, "apply", part)) {
      using x = await openInput(operation, planned.input);
      const call = applyCallOf(operation, planned, job, options, await loadWeights(operation, loaded), folder);
      const read = (pairs: Float64Array, first: number) => (reader as NumbersReader).fill(pairs, 2 * first);
      await whileSyncing(operation, job, x, () =>
        runOn(pool, operation, x, (executor) => drive(runApplyPart(executor, call, x, y, units, read))),
      );
    }
    throwIfAborted(operation, options);
    await syncPartial(operation, job);
    const note: PartNote = { job: job.id, part, inode: opened.inode };
    await writeRecord(operation, inFolder(folder, partFile("apply", part)), note);
  } finally {
    await reader?.close();
  }
}

/** A part of fewer bytes is written as soon as it would be synced. */
const SYNCED_BYTES = 32 << 20;
/** Milliseconds: a part of the default size takes several of them. */
const SYNC_PAUSE = 50;

/** Brings to the disk what is written while more is computed: at the end there is less to wait for. */
async function whileSyncing(operation: string, job: Job, x: Tensor, compute: () => Promise<void>): Promise<void> {
  if ((x.size * CELL_BYTES[x.dtype]) / job.parts < SYNCED_BYTES) return compute();
  const computed = new AbortController();
  const { signal } = computed;
  const syncs = (async () => {
    while (!signal.aborted) {
      await syncPartial(operation, job);
      // Where a sync costs nothing, as in memory, looking after it would cost a core.
      await setTimeout(SYNC_PAUSE, undefined, { signal });
    }
  })();
  try {
    await compute();
  } finally {
    computed.abort();
    // What it says is said again by the last one.
    await syncs.catch(() => {});
  }
}

/** The merged moments; undefined of a job that needs none. Throws InvalidArgumentError where they are not merged. */
async function openMoments(operation: string, { folder, job, plans }: LoadedJob): Promise<NumbersReader | undefined> {
  if (!phasesOfJob(job, plans).includes("moments")) return undefined;
  const reader = await NumbersReader.open(operation, inFolder(folder, MOMENTS_FILE), momentsHead(job, plans));
  if (reader !== undefined) return reader;
  throw new InvalidArgumentError(operation, "folder", "a job whose moments are merged", "one whose moments are not");
}

function throwIfAborted(operation: string, { signal }: JobOptions): void {
  if (signal?.aborted) throw new AbortedError(operation, signal.reason);
}
