// Merges what the parts of a job's moments found, in their order: one reads them all, so the bits are those of one process.
import { describe } from "../describe.js";
import { InvalidArgumentError } from "../errors.js";
import { isPool, type NormPool, runOn } from "../pool.js";
import { mergePartials } from "../run/run-part.js";
import { drive } from "../run/steps.js";
import { inFolder, partFile } from "./folder.js";
import { checkPhase, isMerged, momentsHead, partialsHead } from "./left.js";
import { type LoadedJob, loadJob, openInput, unlessFinished } from "./load-job.js";
import { NumbersReader, writeNumbers } from "./numbers-file.js";
import { type JobOptions, readJobOptions } from "./options.js";
import { momentsCallOf } from "./planned.js";

/**
 * Merges the moments of a job whose parts of that phase are all done. Moments that are merged are not merged again.
 * @throws (as rejection) InvalidArgumentError where the job has no such phase (see `jobStatus`), or parts are not done; FileFormatError, ReadFailedError, WriteFailedError,
 * AbortedError, OutOfMemoryError, PoolClosedError
 */
export async function mergeParts(pool: NormPool, folder: string, given: JobOptions = {}): Promise<void> {
  const operation = "mergeParts";
  if (!isPool(pool)) throw new InvalidArgumentError(operation, "pool", "a NormPool", describe(pool));
  const options = readJobOptions(operation, given);
  const loaded = await loadJob(operation, folder, options);
  checkPhase(operation, loaded, "moments");
  if (loaded.finished || (await isMerged(operation, loaded))) return;
  await unlessFinished(operation, loaded, options, () => merge(operation, pool, loaded, options));
}

async function merge(operation: string, pool: NormPool, loaded: LoadedJob, { signal }: JobOptions): Promise<void> {
  const { job, plans } = loaded;
  const partials = new Partials(operation, loaded);
  try {
    const head = momentsHead(job, plans);
    await writeNumbers(operation, inFolder(loaded.folder, head.name), head, async (writer) => {
      for (const planned of plans) {
        using x = await openInput(operation, planned.input);
        const call = momentsCallOf(operation, planned, job, { signal });
        await runOn(pool, operation, x, (executor) =>
          drive(
            mergePartials(
              executor,
              call,
              (pairs) => partials.next(pairs),
              (pairs) => writer.put(pairs),
            ),
          ),
        );
      }
    });
  } finally {
    await partials.close();
  }
}

/** The partials of all parts, one after the other. */
class Partials {
  readonly #operation: string;
  readonly #loaded: LoadedJob;
  #reader: NumbersReader | undefined;
  #part = 0;
  #at = 0;

  constructor(operation: string, loaded: LoadedJob) {
    this.#operation = operation;
    this.#loaded = loaded;
  }

  /** Fills `pairs` with those that come next. */
  async next(pairs: Float64Array): Promise<void> {
    for (let done = 0; done < pairs.length; ) {
      this.#reader ??= await this.#open();
      const count = Math.min(pairs.length - done, this.#reader.numbers - this.#at);
      await this.#reader.fill(pairs.subarray(done, done + count), this.#at);
      done += count;
      this.#at += count;
      if (this.#at === this.#reader.numbers) await this.close();
    }
  }

  async #open(): Promise<NumbersReader> {
    const { folder, job, plans } = this.#loaded;
    const part = this.#part++;
    this.#at = 0;
    const reader = await NumbersReader.open(
      this.#operation,
      inFolder(folder, partFile("moments", part)),
      partialsHead(job, plans, part),
    );
    if (reader !== undefined) return reader;
    throw new InvalidArgumentError(
      this.#operation,
      "folder",
      "a job whose moments are all done",
      `one without part ${part}`,
    );
  }

  async close(): Promise<void> {
    await this.#reader?.close();
    this.#reader = undefined;
  }
}
