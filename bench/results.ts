// What the bench writes as JSON. Times are milliseconds, sizes bytes.
import type { LatencyResult } from "./latency.js";
import type { Machine } from "./machine.js";
import type { MemoryResult } from "./memory.js";
import type { PeersResult } from "./peers.js";
import type { RooflineResult } from "./roofline.js";
import type { ScalingResult } from "./scaling.js";
import type { ThroughputResult } from "./throughput.js";

export interface Results {
  /** Of this format. */
  readonly schema: 1;
  readonly machine: Machine;
  /** Threads at most. */
  readonly threads: number;
  /** Whether sizes and times were cut. */
  readonly quick: boolean;
  /** Sections that were asked for. */
  readonly throughput?: ThroughputResult;
  readonly roofline?: RooflineResult;
  readonly scaling?: ScalingResult;
  readonly latency?: LatencyResult;
  readonly memory?: MemoryResult;
  readonly peers?: PeersResult;
}

/** What each section is told. */
export interface SectionOptions {
  /** Threads at most. */
  readonly threads: number;
  /** Small tensors and short times: to see that it works, not how fast. */
  readonly quick: boolean;
  /** The memory that may be used, in bytes. */
  readonly memory: number;
  /** Told the share of the section that is done, 0 to 1. */
  readonly onShare: (share: number) => void;
  readonly signal?: AbortSignal;
}
