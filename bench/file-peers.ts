// What the section peers found from file to file: the columns of a table standardised by normpool and by others.
import type { Timing } from "./samples.js";
import { formatBytes, type TableText } from "./text.js";

export type FileFormat = ".npy" | "Parquet";

interface FilePeerRow {
  readonly peer: string;
  readonly version: string;
  /** Of its input and its output. */
  readonly format: FileFormat;
  /** 1 where the peer has no threads. */
  readonly peerThreads: number;
  readonly peerTime: Timing;
  /** As of the calls: above 1 normpool is faster. */
  readonly ratio: number;
  /** Memory of its process in its first run, in bytes; null where the system does not say. */
  readonly peak: number | null;
}

export interface FilePeersResult {
  /** Of the input, float32. */
  readonly shape: readonly number[];
  readonly threads: number;
  readonly rounds: number;
  readonly normpoolTime: Timing;
  readonly normpoolPeak: number | null;
  readonly rows: readonly FilePeerRow[];
}

export function describeFilePeers(result: FilePeersResult): TableText {
  const { shape, threads, rounds, normpoolTime, normpoolPeak, rows } = result;
  const lines = rows.map(({ peer, version, format, peerThreads, peerTime, ratio, peak }) => [
    `${peer} ${version}`,
    format,
    String(peerThreads),
    peerTime.median.toFixed(0),
    ratio.toFixed(2),
    mebibytes(peak),
  ]);
  const own = ["normpool", ".npy", String(threads), normpoolTime.median.toFixed(0), "", mebibytes(normpoolPeak)];
  const bytes = formatBytes(4 * shape.reduce((a, b) => a * b, 1));
  return {
    note: [
      `From file to file: StandardScaler, fitted to the columns of a float32 [${shape.join(", ")}] of ${bytes} and applied, from a file in the page cache to a new one.`,
      `Milliseconds, the median of ${formatRounds(rounds)}, each in a process of its own that has started and imported all. Nobody's sync to the disk is counted.`,
      "Parquet is not compressed, and making the input of it is not timed. Peak: of the process in its first run, what it maps of files included.",
    ].join("\n"),
    rows: [["", "files", "threads", "ms", "ratio", "peak, MiB"], own, ...lines],
  };
}

function formatRounds(rounds: number): string {
  return `${rounds} ${rounds === 1 ? "round" : "rounds"}`;
}

function mebibytes(bytes: number | null): string {
  return bytes === null ? "" : (bytes / 2 ** 20).toFixed(0);
}
