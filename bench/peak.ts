// The most memory that a process has had. Not `resourceUsage().maxRSS`: Linux hands that on from the process that started it, so
// that a child of a large one seems as large.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** In bytes; null where the system does not say: only Linux does. */
export function peakOf(pid: number | "self" | undefined): number | null {
  try {
    const [, kibibytes] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return kibibytes === undefined ? null : Number(kibibytes) * 1024;
  } catch {
    return null;
  }
}

/** This process's, on other systems as near as they say it. */
export function ownPeak(): number {
  return peakOf("self") ?? process.resourceUsage().maxRSS * 1024;
}

// Alone it is an empty process.
if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(ownPeak());
