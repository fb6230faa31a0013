// What more threads would give: the time of a call by two limits, arithmetic that threads share and memory that they share too.

/** Measured apart from what the model is compared with. Milliseconds. */
export interface Constants {
  /** One thread's time for the call's arithmetic and its own reads and writes. */
  readonly work: number;
  /** Bytes that the call moves. */
  readonly bytes: number;
  /** Bytes a millisecond that all threads together move. */
  readonly bandwidth: number;
  /** Handing the call's phases to the workers and back. */
  readonly handOver: number;
}

export function predict({ work, bytes, bandwidth, handOver }: Constants, threads: number): number {
  return Math.max(work / threads, bytes / bandwidth) + handOver;
}

/** How far the model is off, as a share of what was measured: 0.1 for 10% too slow. */
export function errorOf(constants: Constants, threads: number, measured: number): number {
  return predict(constants, threads) / measured - 1;
}

/** 1 to `cores`, each up to 8, then fewer. */
export function threadCounts(cores: number): number[] {
  const counts: number[] = [];
  for (let threads = 1; threads < cores; threads += Math.max(1, 2 ** (Math.floor(Math.log2(threads)) - 2))) {
    counts.push(threads);
  }
  return [...counts, cores];
}
