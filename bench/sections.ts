// Runs the bench's sections.
import { GROUPS, type Group } from "./cases.js";
import { measureCold } from "./cold.js";
import { describeSections, SECTIONS, type Section } from "./describe.js";
import { measureFiles } from "./files.js";
import { measureLatency } from "./latency.js";
import { describeMachine, memoryToUse } from "./machine.js";
import { measureMemory } from "./memory.js";
import type { Results } from "./results.js";
import { measureRoofline } from "./roofline.js";
import { measureScaling } from "./scaling.js";
import type { SectionOptions } from "./section.js";
import { formatSection } from "./text.js";
import { measureThroughput } from "./throughput.js";

export interface BenchOptions {
  readonly sections: readonly Section[];
  readonly threads: number;
  readonly quick?: boolean;
  /** Of the section throughput; default all. */
  readonly groups?: readonly Group[];
  /** Of the section peers: the Python that may have torch, NumPy and scikit-learn. */
  readonly python?: string;
  readonly signal?: AbortSignal;
  /** Told when a section begins. Returns what is told its share. */
  readonly onSection?: (section: Section) => (share: number) => void;
  /** Told when a section is done: its numbers as text. */
  readonly onText?: (text: string) => void;
}

/** What says how fast a machine is. */
export const MACHINE_SECTIONS = ["roofline", "scaling", "latency"] as const satisfies readonly Section[];

export async function runBench(options: BenchOptions): Promise<Results> {
  const { sections, threads, quick = false, signal, onSection, onText } = options;
  const machine = describeMachine();
  let results: Results = { schema: 1, machine, threads, quick };
  for (const section of SECTIONS.filter((name) => sections.includes(name))) {
    const onShare = onSection?.(section) ?? (() => {});
    const told = { threads, quick, memory: memoryToUse(), onShare, ...(signal && { signal }) };
    const measured = await measure(section, options, told);
    results = { ...results, ...measured };
    onShare(1);
    for (const text of describeSections(measured)) onText?.(formatSection(text));
  }
  return results;
}

async function measure(
  section: Section,
  { groups = GROUPS, python = "python3" }: BenchOptions,
  options: SectionOptions,
): Promise<Partial<Results>> {
  switch (section) {
    case "throughput":
      return { throughput: await measureThroughput(groups, [...new Set([1, options.threads])], options) };
    case "roofline":
      return { roofline: await measureRoofline(options) };
    case "scaling":
      return { scaling: await measureScaling(options) };
    case "latency":
      return { latency: await measureLatency(options) };
    case "cold":
      return { cold: measureCold(options) };
    case "memory":
      return { memory: measureMemory() };
    case "files":
      return { files: await measureFiles(options) };
    // These two are not part of the package.
    case "jobs":
      return { jobs: await (await import("./jobs/measure.js")).measureJobs(options) };
    case "peers":
      return { peers: await (await import("./peers/measure.js")).measurePeers({ ...options, python }) };
  }
}
