import { statfsSync } from "node:fs";

/** Bytes that each of so many files in `folder` can have. */
export function roomFor(files: number, folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return (bavail * bsize) / files;
}
