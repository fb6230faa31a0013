// Sampling for calls of tens of milliseconds: all candidates in turn, round after round, so that drift of a shared machine
// falls on each alike, and ratios are taken within a round.

export interface Candidate {
  readonly name: string;
  run(): Promise<unknown>;
}

/** Milliseconds of each round, in the order of the rounds, by candidate. */
export type Samples = ReadonlyMap<string, readonly number[]>;

/** Rounds that are not counted: the first calls fault in pages and run V8's baseline code. */
const WARM_UP = 2;

export async function sample(candidates: readonly Candidate[], rounds: number): Promise<Samples> {
  const samples = new Map<string, number[]>(candidates.map(({ name }) => [name, []]));
  for (let round = -WARM_UP; round < rounds; round++) {
    for (const { name, run } of candidates) {
      const start = performance.now();
      await run();
      const milliseconds = performance.now() - start;
      if (round >= 0) samples.get(name)?.push(milliseconds);
    }
  }
  return samples;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** The median of a candidate's ratios to another's time in the same round. */
export function medianRatio(samples: Samples, name: string, to: string): number {
  const base = samples.get(to) ?? [];
  return median((samples.get(name) ?? []).map((value, round) => value / (base[round] ?? Number.NaN)));
}

/** Rows of text cells as an aligned table; the first column is left-aligned. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  "),
    )
    .join("\n");
}
