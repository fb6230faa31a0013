// The bench's sections by name, and their numbers as text.
import { describeCold } from "./cold.js";
import { describeFiles } from "./files.js";
import { describeJobs } from "./jobs.js";
import { describeLatency } from "./latency.js";
import { describeMemory } from "./memory.js";
import { describePeers } from "./peers.js";
import type { Results } from "./results.js";
import { describeRoofline } from "./roofline.js";
import { describeScaling } from "./scaling.js";
import type { SectionText } from "./text.js";
import { describeThroughput } from "./throughput.js";

/** In the order that they run in. */
export const SECTIONS = [
  "throughput",
  "roofline",
  "scaling",
  "latency",
  "cold",
  "memory",
  "files",
  "jobs",
  "peers",
] as const;
export type Section = (typeof SECTIONS)[number];

type Measured = Partial<Pick<Results, Section>>;

/** The sections that were measured. */
export function describeSections(results: Measured): (SectionText & { readonly section: Section })[] {
  const { throughput, roofline, scaling, latency, cold, memory, files, jobs, peers } = results;
  return [
    ...(throughput ? [{ section: "throughput" as const, ...describeThroughput(throughput) }] : []),
    ...(roofline ? [{ section: "roofline" as const, ...describeRoofline(roofline) }] : []),
    ...(scaling ? [{ section: "scaling" as const, ...describeScaling(scaling) }] : []),
    ...(latency ? [{ section: "latency" as const, ...describeLatency(latency) }] : []),
    ...(cold ? [{ section: "cold" as const, ...describeCold(cold) }] : []),
    ...(memory ? [{ section: "memory" as const, ...describeMemory(memory) }] : []),
    ...(files ? [{ section: "files" as const, ...describeFiles(files) }] : []),
    ...(jobs ? [{ section: "jobs" as const, ...describeJobs(jobs) }] : []),
    ...(peers ? [{ section: "peers" as const, ...describePeers(peers) }] : []),
  ];
}
