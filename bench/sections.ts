// The bench's sections by name: what measures each, and how its numbers are printed.
import { GROUPS, type Group } from "./cases.js";
import { formatLatency, measureLatency } from "./latency.js";
import { describeMachine, memoryToUse } from "./machine.js";
import { formatMemory, measureMemory } from "./memory.js";
import type { Results, SectionOptions } from "./results.js";
import { formatRoofline, measureRoofline } from "./roofline.js";
import { formatScaling, measureScaling } from "./scaling.js";
import { formatThroughput, measureThroughput } from "./throughput.js";

/** In the order that they run in. */
export const SECTIONS = ["throughput", "roofline", "scaling", "latency", "memory"] as const;
export type Section = (typeof SECTIONS)[number];

export interface BenchOptions {
  readonly sections: readonly Section[];
  readonly threads: number;
  readonly quick?: boolean;
  /** Of the section throughput; default all. */
  readonly groups?: readonly Group[];
  readonly signal?: AbortSignal;
  /** Told when a section begins. Returns what is told its share. */
  readonly onSection?: (section: Section) => (share: number) => void;
  /** Told when a section is done: its numbers as text. */
  readonly onText?: (text: string) => void;
}

export async function runBench(options: BenchOptions): Promise<Results> {
  const { sections, threads, quick = false, groups = GROUPS, signal, onSection, onText } = options;
  const machine = describeMachine();
  let results: Results = { schema: 1, machine, threads, quick };
  for (const section of SECTIONS.filter((name) => sections.includes(name))) {
    const onShare = onSection?.(section) ?? (() => {});
    const told = { threads, quick, memory: memoryToUse(), onShare, ...(signal && { signal }) };
    results = { ...results, ...(await measure(section, groups, told)) };
    onShare(1);
    onText?.(format(section, results));
  }
  return results;
}

async function measure(section: Section, groups: readonly Group[], options: SectionOptions): Promise<Partial<Results>> {
  switch (section) {
    case "throughput":
      return { throughput: await measureThroughput(groups, [...new Set([1, options.threads])], options) };
    case "roofline":
      return { roofline: await measureRoofline(options) };
    case "scaling":
      return { scaling: await measureScaling(options) };
    case "latency":
      return { latency: await measureLatency(options) };
    case "memory":
      return { memory: measureMemory() };
  }
}

function format(section: Section, { throughput, roofline, scaling, latency, memory }: Results): string {
  switch (section) {
    case "throughput":
      return throughput ? formatThroughput(throughput) : "";
    case "roofline":
      return roofline ? formatRoofline(roofline) : "";
    case "scaling":
      return scaling ? formatScaling(scaling) : "";
    case "latency":
      return latency ? formatLatency(latency) : "";
    case "memory":
      return memory ? formatMemory(memory) : "";
  }
}
