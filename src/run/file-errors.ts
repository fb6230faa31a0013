import { FileFault } from "../../workers/drivers/file-fault.js";
import { ReadFailedError, WriteFailedError } from "../errors.js";

/** What a driver threw, as the call's error. */
export function fileErrorOf(operation: string, { refusal, cause }: FileFault): ReadFailedError | WriteFailedError {
  const { path, does, why } = refusal;
  const FileError = does === "read" ? ReadFailedError : WriteFailedError;
  return new FileError(operation, path, why, { cause });
}

/** As `fileErrorOf`, of anything that may have been thrown. */
export function publicErrorOf(operation: string, error: unknown): unknown {
  return error instanceof FileFault ? fileErrorOf(operation, error) : error;
}
