// What `normpool stats` tells, as a table for the terminal and for the page.
import type { Shape } from "../index.js";
import { formatRows } from "./report.js";
import { formatSpeed } from "./tensor-file.js";

/** Channels that the terminal shows. JSON has all. */
const LINES = 100;

/** Of a channel: null is what a channel without finite cells does not have. */
export interface ChannelStats {
  /** Undefined where they are of all cells. */
  readonly channel?: number;
  /** All cells, also NaN and infinite ones. */
  readonly count: number;
  readonly nan: number;
  readonly infinite: number;
  /** These of finite cells. The deviation is of the biased variance. */
  readonly mean: number | null;
  readonly deviation: number | null;
  readonly min: number | null;
  readonly max: number | null;
}

export interface Stats {
  readonly input: string;
  readonly shape: Shape;
  readonly dtype: string;
  /** From the start; null for all cells at once. */
  readonly channelAxis: number | null;
  readonly channels: readonly ChannelStats[];
  readonly milliseconds: number;
  readonly gigabytesPerSecond: number;
}

/** Rows of a table, the first one its header. */
export function tableOfStats({ channels }: Stats, most: number): string[][] {
  const header = ["channel", "count", "NaN", "infinite", "mean", "deviation", "min", "max"];
  const rows = channels
    .slice(0, most)
    .map(({ channel, count, nan, infinite, mean, deviation, min, max }) => [
      channel === undefined ? "all" : String(channel),
      ...[count, nan, infinite].map(String),
      ...[mean, deviation, min, max].map((value) => (value === null ? "none" : formatNumber(value))),
    ]);
  return [header, ...rows];
}

/** Seven digits: what a float32 has. */
export function formatNumber(value: number): string {
  const text = String(Number(value.toPrecision(7)));
  return text.length <= 12 ? text : value.toExponential(5);
}

export function formatStats(stats: Stats): string {
  const { input, shape, dtype, channelAxis, channels, milliseconds, gigabytesPerSecond } = stats;
  const table = tableOfStats(stats, LINES);
  const widths = (table[0] as string[]).map((_, column) =>
    Math.max(...table.map((row) => (row[column] as string).length)),
  );
  const lines = table.map((row) => row.map((cell, column) => cell.padStart(widths[column] as number)).join("  "));
  const left = channels.length - LINES;
  if (left > 0) lines.push(`and ${left} channels more: --json has all`);
  const head = formatRows([
    ["input", input],
    ["shape", `[${shape.join(", ")}] ${dtype}`],
    ["channels", channelAxis === null ? "all cells at once" : `${channels.length} at dimension ${channelAxis}`],
    ["time", formatSpeed(milliseconds, gigabytesPerSecond)],
  ]);
  return `${head}\n\n${lines.join("\n")}`;
}
