// A section's numbers as text: the same tables on the terminal and on the page.

/** Cells of a table; the first row is the header. */
type Rows = readonly (readonly string[])[];

export interface TableText {
  readonly note?: string;
  readonly rows: Rows;
}

export interface SectionText {
  readonly title: string;
  /** How to read the tables. */
  readonly notes: readonly string[];
  readonly tables: readonly TableText[];
  /** What was not measured, and why. */
  readonly leftOut?: readonly string[];
}

export function formatSection({ title, notes, tables, leftOut = [] }: SectionText): string {
  return [
    `${title}: ${notes.join("\n")}`,
    ...tables.map(({ note, rows }) => `\n${note === undefined ? "" : `${note}\n`}${formatTable(rows)}`),
    ...leftOut.map((why) => `Left out: ${why}.`),
  ].join("\n");
}

/** The first column is left-aligned. */
function formatTable(rows: Rows): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 2 ** (10 * unit);
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

export function formatThreads(threads: number): string {
  return `${threads} ${threads === 1 ? "thread" : "threads"}`;
}

export function formatPercent(share: number): string {
  return `${Math.round(100 * share)}\u00a0%`;
}
