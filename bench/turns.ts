// Sampling of short calls in turn: as `sampleInTurn`, but a turn is some calls in a row.
import { type Candidate, MOST, median, type Samples, warmUp } from "./samples.js";

/** How each candidate is sampled. */
export interface Turns {
  readonly rounds: number;
  /** How long, all turns together. Long calls take longer: a turn has a sample at least. */
  readonly milliseconds: number;
  /** A sample is the mean of as many calls in a row as take so long; 0 for one call. */
  readonly batchMilliseconds: number;
}

/** Milliseconds of a call that hardly feels whether its threads sleep and what the cache has: its first one, too, is a sample. */
const LONG = 50;

interface Turn {
  readonly run: () => Promise<unknown>;
  /** Calls that are not counted: they find their threads asleep, and what the candidate before has left in the cache. */
  readonly first: number;
  readonly count: number;
  readonly batch: number;
  readonly samples: number[];
}

/** @param onRound told after each round. */
export async function sampleTurns(
  candidates: readonly Candidate[],
  { rounds, milliseconds, batchMilliseconds }: Turns,
  onRound: (rounds: number) => void = () => {},
): Promise<Samples> {
  const turns = new Map<string, Turn>();
  for (const { name, run } of candidates) {
    const call = await warmUp(run, milliseconds / 4);
    const batch = Math.max(1, Math.floor(batchMilliseconds / call));
    const count = Math.max(1, Math.floor(Math.min(milliseconds / (call * batch), MOST) / rounds));
    turns.set(name, { run, first: call < LONG ? 1 : 0, count, batch, samples: [] });
  }
  for (let round = 1; round <= rounds; round++) {
    for (const turn of turns.values()) await take(turn);
    onRound(round);
  }
  return new Map([...turns].map(([name, { samples }]) => [name, samples]));
}

async function take({ run, first, count, batch, samples }: Turn): Promise<void> {
  for (let call = 0; call < first; call++) await run();
  for (let sample = 0; sample < count; sample++) {
    const start = performance.now();
    for (let call = 0; call < batch; call++) await run();
    samples.push((performance.now() - start) / batch);
  }
}

/** The median of each round's samples. Every round has as many. */
export function mediansOfRounds(samples: readonly number[], rounds: number): number[] {
  const size = samples.length / rounds;
  return Array.from({ length: rounds }, (_, i) => median(samples.slice(i * size, (i + 1) * size)));
}
