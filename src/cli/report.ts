// What the command prints: a bar while it works, a summary when it is done.
import cliProgress from "cli-progress";
import type { Moments, Shape } from "../index.js";
import { colorsFor, printable } from "./terminal.js";

/** A step's share of the bar: 0 to 1. */
export type OnShare = (share: number) => void;

/** The progress bar on stderr, or nothing where stderr is not a terminal. Steps follow each other, each a part of the bar. */
export class Bar {
  readonly #bar: cliProgress.SingleBar | undefined;
  readonly #steps: number;
  #step = 0;
  readonly stop = (): void => {
    process.off("exit", this.stop);
    this.#bar?.stop();
  };

  constructor(steps: number, shown: boolean) {
    this.#steps = steps;
    if (!shown || !process.stderr.isTTY) return;
    this.#bar = new cliProgress.SingleBar({
      stream: process.stderr,
      format: "{step} {bar} {percentage}%",
      barCompleteChar: "#",
      barIncompleteChar: ".",
      clearOnComplete: true,
      hideCursor: true,
    });
    this.#bar.start(1, 0, { step: "".padEnd(9) });
    // A second interrupt ends the process at once, but not with the cursor hidden.
    process.once("exit", this.stop);
  }

  step(name: string): OnShare {
    const before = this.#step++;
    return (share) => this.#bar?.update((before + share) / this.#steps, { step: name.padEnd(9) });
  }
}

export interface Summary {
  readonly input: string;
  readonly output: string;
  readonly shape: Shape;
  readonly layer: string;
  readonly threads: number;
  /** Of the normalisation alone, without reading and writing files. */
  readonly milliseconds: number;
  /** Bytes read and written by the normalisation, by its time. */
  readonly gigabytesPerSecond: number;
  readonly before: Spread;
  readonly after: Spread;
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

export function formatSummary(summary: Summary): string {
  const { shape, layer, threads, milliseconds, gigabytesPerSecond, before, after } = summary;
  const rows: [string, string][] = [
    ["shape", `[${shape.join(", ")}] float32`],
    ["layer", layer],
    ["threads", String(threads)],
    ["time", `${milliseconds.toFixed(2)} ms, ${gigabytesPerSecond.toFixed(2)} GB/s, without reading and writing files`],
    ["before", formatSpread(before)],
    ["after", formatSpread(after)],
    ["output", summary.output],
  ];
  return formatRows(rows);
}

/** Names and values, a line each. */
export function formatRows(rows: readonly (readonly [name: string, value: string])[]): string {
  const { dim } = colorsFor(process.stdout);
  return rows.map(([name, value]) => `${dim(name.padEnd(8))} ${printable(value)}`).join("\n");
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
