// The output of a job while it is written: beside the name that it gets, for all processes to write their parts to.
import type { BigIntStats } from "node:fs";
import { constants, type FileHandle, lstat, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FileFormatError, WriteFailedError } from "../errors.js";
import { CELL_BYTES } from "../plan/cells.js";
import { checkStoredAs } from "../storage/converted.js";
import { FileHolding } from "../storage/file-holding.js";
import { headerOf } from "../storage/file-tensor.js";
import { identityOf } from "../storage/input.js";
import { openLike, syncFolder } from "../storage/output.js";
import { checkRoom } from "../storage/output-target.js";
import type { FileSpec } from "../storage/spec.js";
import { describeSystemError } from "../storage/system-error.js";
import { cellsOf, type Shape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";
import { inFolder, OUTPUT_FILE, readRecord, writeRecord } from "./folder.js";
import type { Job } from "./job.js";

/** Its name says whose it is: a job's file can make no other file become an output. */
function partialOf({ id, output }: Pick<Job, "id" | "output">): string {
  return join(dirname(output.path), `.normpool-job-${id}.partial`);
}

interface Layout {
  readonly header: Buffer;
  readonly bytes: number;
  readonly shape: Shape;
  readonly cells: NonNullable<Job["output"]["cells"]>;
}

function layoutOf(operation: string, { output, inputs }: Job): Layout {
  const cells = output.cells as NonNullable<Job["output"]["cells"]>;
  const { format, key, metadata, storedAs } = cells;
  const { shape } = inputs[0] as Job["inputs"][0];
  const header = headerOf(operation, output.path, storedAs, shape, { format, key, metadata });
  return { header, bytes: header.length + cellsOf(shape) * CELL_BYTES[storedAs], shape, cells };
}

/** Whether it is there. */
export async function hasPartial(job: Job): Promise<boolean> {
  return (await lstat(partialOf(job)).catch(() => undefined)) !== undefined;
}

/** Throws WriteFailedError where there is no room for it, and what its header cannot say as InvalidArgumentError. */
export async function checkRoomFor(operation: string, job: Job): Promise<void> {
  const { bytes } = layoutOf(operation, job);
  await orFail(operation, job, () => checkRoom(dirname(partialOf(job)), bytes));
}

/** Makes it, of zeros; of one that is there, also where who made it was ended, nothing is lost. Throws WriteFailedError, also where there is no room for it. */
export async function makePartial(operation: string, job: Job): Promise<void> {
  const partial = partialOf(job);
  const { header, bytes } = layoutOf(operation, job);
  await orFail(operation, job, async () => {
    if (!(await hasPartial(job))) {
      await checkRoom(dirname(partial), bytes);
      const existing = await stat(job.output.path).catch(() => undefined);
      await openLike(partial, existing).then(
        (file) => file.close(),
        (error: NodeJS.ErrnoException) => {
          // Another process plans the same.
          if (error.code !== "EEXIST") throw error;
        },
      );
    }
    const file = await open(partial, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      await file.write(header, 0, header.length, 0);
      if ((await file.stat()).size !== bytes) await file.truncate(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

/** Which file it is, by its inode: devices have other numbers on other machines. Undefined where it is not there. Throws FileFormatError where it is another. */
export async function partialInode(operation: string, job: Job): Promise<string | undefined> {
  return withPartial(operation, job, "r", async (_, { ino }) => String(ino));
}

/** A tensor of it, which is written to while the file has that name and no longer: what a process that was stopped would write later is left out. */
export async function openPartialTensor(
  operation: string,
  job: Job,
): Promise<{ y: Tensor; inode: string } | undefined> {
  const { header, bytes, shape, cells } = layoutOf(operation, job);
  const converted = checkStoredAs(operation, cells.storedAs, cells.dtype);
  return withPartial(operation, job, "r", async (_, stats) => {
    const place = { path: partialOf(job), name: job.output.path, offset: header.length, id: identityOf(stats).id };
    const spec: FileSpec = {
      kind: "file",
      ...place,
      ...converted,
      size: bytes,
      modified: null,
      swapped: 1,
      whileNamed: true,
    };
    return { y: new Tensor(new FileHolding(spec), cells.dtype, shape), inode: String(stats.ino) };
  });
}

/** What was written to it is on the disk. */
export async function syncPartial(operation: string, job: Job): Promise<void> {
  await withPartial(operation, job, "r+", (file) => file.sync());
}

/** Whether the file that was to become the output has its name. */
export async function isNamed(
  operation: string,
  { folder, job }: { readonly folder: string; readonly job: Job },
): Promise<boolean> {
  if (job.output.cells === null || (await hasPartial(job))) return false;
  const noted = (await readRecord(operation, inFolder(folder, OUTPUT_FILE))) as
    | { readonly inode?: unknown }
    | undefined;
  return noted !== undefined && noted.inode === (await outputInode(job));
}

/** Notes which file is to have the output's name, and gives it that. What was written to it is on the disk. */
export async function namePartial(
  operation: string,
  { folder, job }: { readonly folder: string; readonly job: Job },
): Promise<void> {
  await syncPartial(operation, job);
  const inode = await partialInode(operation, job);
  if (inode === undefined)
    throw new WriteFailedError(operation, job.output.path, "the file that the job wrote to is gone");
  await writeRecord(operation, inFolder(folder, OUTPUT_FILE), { job: job.id, inode });
  await orFail(operation, job, async () => {
    await rename(partialOf(job), job.output.path);
    await syncFolder(dirname(job.output.path));
  });
}

export async function removePartial(operation: string, job: Job): Promise<void> {
  await orFail(operation, job, () => rm(partialOf(job), { force: true }));
}

/** The inode of the file that has the output's name. */
export async function outputInode({ output }: Job): Promise<string | undefined> {
  const found = await lstat(output.path, { bigint: true }).catch(() => undefined);
  return found && String(found.ino);
}

async function withPartial<T>(
  operation: string,
  job: Job,
  flags: "r" | "r+",
  use: (file: FileHandle, stats: BigIntStats) => Promise<T>,
): Promise<T | undefined> {
  const partial = partialOf(job);
  const mode = (flags === "r" ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NOFOLLOW;
  return orFail(operation, job, async () => {
    const file = await open(partial, mode).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (file === undefined) return undefined;
    try {
      const stats = await file.stat({ bigint: true });
      const { header, bytes } = layoutOf(operation, job);
      const start = Buffer.alloc(header.length);
      await file.read(start, 0, start.length, 0);
      if (!stats.isFile() || Number(stats.size) !== bytes || !start.equals(header)) {
        throw new FileFormatError(operation, partial, "it is not the output that the job began");
      }
      return await use(file, stats);
    } finally {
      await file.close();
    }
  });
}

async function orFail<T>(operation: string, { output }: Job, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    if (cause instanceof FileFormatError) throw cause;
    throw new WriteFailedError(operation, output.path, describeSystemError(cause), { cause });
  }
}
