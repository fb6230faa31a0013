// What the bench writes as JSON. Times are milliseconds, sizes bytes.
import type { ColdResult } from "./cold.js";
import type { FilesResult } from "./files.js";
import type { JobsResult } from "./jobs.js";
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
  readonly cold?: ColdResult;
  readonly memory?: MemoryResult;
  readonly files?: FilesResult;
  readonly jobs?: JobsResult;
  readonly peers?: PeersResult;
}
