// What the command prints: a bar while it works, a summary when it is done.
import type { SingleBar } from "cli-progress";
import type { Dtype, Moments, Shape } from "../index.js";
import { formatSpeed } from "./tensor-file.js";
import { colorsFor, printable } from "./terminal.js";

/** A step's share of the bar: 0 to 1. */
export type OnShare = (share: number) => void;

/** The progress bar on stderr, or nothing where stderr is not a terminal. Steps follow each other, each a part of the bar. */
export class Bar {
  /** Once its package is read, which takes longer than a small file. */
  #bar: SingleBar | undefined;
  readonly #steps: number;
  #step = 0;
  #stopped = false;
  readonly stop = (): void => {
    this.#stopped = true;
    process.off("exit", this.stop);
    this.#bar?.stop();
  };

  constructor(steps: number, shown: boolean) {
    this.#steps = steps;
    if (shown && process.stderr.isTTY) void this.#show();
  }

  async #show(): Promise<void> {
    const { default: cliProgress } = await import("cli-progress");
    if (this.#stopped) return;
    this.#bar = new cliProgress.SingleBar({
      stream: process.stderr,
      format: "{step} {bar} {percentage}%{pace}",
      barCompleteChar: "#",
      barIncompleteChar: ".",
      clearOnComplete: true,
      hideCursor: true,
    });
    this.#bar.start(1, 0, { step: "".padEnd(9), pace: "" });
    // A second interrupt ends the process at once, but not with the cursor hidden.
    process.once("exit", this.stop);
  }

  /** @param bytes that the step moves: then it says how fast, and how long it takes yet. */
  step(name: string, bytes?: number): OnShare {
    const before = this.#step++;
    const start = performance.now();
    return (share) => {
      const pace = bytes === undefined ? "" : formatPace(share, bytes, performance.now() - start);
      this.#bar?.update((before + share) / this.#steps, { step: printable(name).padEnd(9), pace });
    };
  }
}

/** ` 1.2 of 4.0 GB, 2.10 GB/s, 1 s left` */
export function formatPace(share: number, bytes: number, milliseconds: number): string {
  const gigabytes = (value: number) => (value / 1e9).toFixed(value < 1e8 ? 3 : 1);
  const moved = ` ${gigabytes(share * bytes)} of ${gigabytes(bytes)} GB`;
  if (share === 0 || milliseconds === 0) return moved;
  const left = Math.ceil(((1 - share) / share) * (milliseconds / 1000));
  return `${moved}, ${((share * bytes) / milliseconds / 1e6).toFixed(2)} GB/s, ${left} s left`;
}

export interface Summary {
  readonly input: string;
  readonly output: string;
  readonly shape: Shape;
  /** The input's. */
  readonly dtype: Dtype;
  /** Where it is another. */
  readonly outputDtype?: Dtype;
  /** What it went through: a layer, as PyTorch prints it, or a scaler's file. */
  readonly layer?: string;
  readonly scaler?: string;
  readonly inverse?: boolean;
  readonly threads: number;
  /** From the input's file to the output's, which is on the disk. */
  readonly milliseconds: number;
  /** Bytes of the input and the output, by that time. */
  readonly gigabytesPerSecond: number;
  /** Only where they were asked for: each takes a pass over a file. */
  readonly before?: Spread;
  readonly after?: Spread;
}

/** Null for no cells, and where a cell is NaN or infinite. */
interface Spread {
  readonly mean: number | null;
  readonly deviation: number | null;
}

export function spreadOf({ count, mean, m2 }: Moments): Spread {
  const finite = (value: number) => (Number.isFinite(value) ? value : null);
  return count === 0
    ? { mean: null, deviation: null }
    : { mean: finite(mean), deviation: finite(Math.sqrt(m2 / count)) };
}

export function formatSummary(summary: Summary, to: NodeJS.WriteStream): string {
  const { input, output, shape, dtype, outputDtype, layer, scaler, inverse, threads, before, after } = summary;
  const { milliseconds, gigabytesPerSecond } = summary;
  const dtypes = outputDtype === undefined ? dtype : `${dtype}, written as ${outputDtype}`;
  const rows: [string, string][] = [
    ["input", input],
    ["shape", `[${shape.join(", ")}] ${dtypes}`],
    ...(layer ? [["layer", layer] as [string, string]] : []),
    ...(scaler ? [["scaler", `${scaler}${inverse ? ", inverse" : ""}`] as [string, string]] : []),
    ["threads", String(threads)],
    ["time", `${formatSpeed(milliseconds, gigabytesPerSecond)}, from file to file`],
    ...(before ? [["before", formatSpread(before)] as [string, string]] : []),
    ...(after ? [["after", formatSpread(after)] as [string, string]] : []),
    ["output", output],
  ];
  return formatRows(rows, to);
}

/** Names and values, a line each. */
export function formatRows(
  rows: readonly (readonly [name: string, value: string])[],
  to: NodeJS.WriteStream = process.stdout,
): string {
  const { dim } = colorsFor(to);
  const width = Math.max(8, ...rows.map(([name]) => printable(name).length));
  return rows.map(([name, value]) => `${dim(printable(name).padEnd(width))} ${printable(value)}`).join("\n");
}

function formatSpread({ mean, deviation }: Spread): string {
  return `mean ${formatNumber(mean)}, deviation ${formatNumber(deviation)}`;
}

/** Four decimals; a mean of -1e-12 is 0. */
function formatNumber(value: number | null): string {
  if (value === null) return "none";
  const fixed = value.toFixed(4);
  return fixed === "-0.0000" ? "0.0000" : fixed;
}
