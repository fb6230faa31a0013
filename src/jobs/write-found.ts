// The output of a job whose output has no cells: what was found of its inputs.
import { readFile } from "node:fs/promises";
import { NormpoolError, ReadFailedError } from "../errors.js";
import { type SetMoments, unpackInto } from "../merge/moments.js";
import { cellsPerSet, setCount } from "../plan/geometry.js";
import { type Fitted, merged } from "../scaler/fitted.js";
import { withoutNaN } from "../scaler/part-moments.js";
import { scalerMetadata, stateOf } from "../scaler/scaler-state.js";
import { writeSafetensors } from "../storage/safetensors-write.js";
import { describeSystemError } from "../storage/system-error.js";
import { inFolder, MOMENTS_FILE, removeFrom, temporaryFile } from "./folder.js";
import { momentsHead } from "./left.js";
import { type LoadedJob, openInput } from "./load-job.js";
import { NumbersReader } from "./numbers-file.js";
import type { JobOptions } from "./options.js";

/** Whether the output has what was found of a job without cells. */
export async function isFound(operation: string, loaded: LoadedJob, options: JobOptions): Promise<boolean> {
  const name = temporaryFile("found");
  const path = inFolder(loaded.folder, name);
  try {
    await writeFound(operation, loaded, options, path);
    return (await readFile(path)).equals(await readFile(loaded.job.output.path));
  } catch (cause) {
    if (cause instanceof NormpoolError) throw cause;
    throw new ReadFailedError(operation, loaded.job.output.path, describeSystemError(cause), { cause });
  } finally {
    await removeFrom(operation, loaded.folder, name);
  }
}

/** Writes what was found of a job without cells to a file. */
export async function writeFound(
  operation: string,
  loaded: LoadedJob,
  options: JobOptions,
  path: string,
): Promise<void> {
  const { job, plans, folder } = loaded;
  const { work } = job;
  const head = momentsHead(job, plans);
  const reader = (await NumbersReader.open(operation, inFolder(folder, MOMENTS_FILE), head)) as NumbersReader;
  try {
    let [first, fitted]: [number, Fitted | null] = [0, null];
    for (const { input, plan } of plans) {
      const sets = setCount(plan.geometry);
      const pairs = new Float64Array(2 * sets);
      await reader.fill(pairs, first);
      first += pairs.length;
      const moments: SetMoments = {
        count: cellsPerSet(plan.geometry),
        mean: new Float64Array(sets),
        m2: new Float64Array(sets),
      };
      unpackInto(moments, 0, pairs);
      if (work.kind === "fit") {
        using x = await openInput(operation, input);
        const { channelAxis } = work;
        fitted = merged(fitted, await withoutNaN(operation, x, moments, { channelAxis, signal: options.signal }));
      } else {
        const state = {
          count: { shape: [], data: BigInt64Array.of(BigInt(moments.count)) },
          mean: { shape: [sets], data: moments.mean },
          m2: { shape: [sets], data: moments.m2 },
        };
        await writeSafetensors(path, state);
        return;
      }
    }
    if (work.kind === "fit")
      await writeSafetensors(path, stateOf(fitted, undefined), { metadata: scalerMetadata(work) });
  } finally {
    await reader.close();
  }
}
