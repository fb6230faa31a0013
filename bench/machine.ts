// What a number of the bench belongs to: the machine, Node, the commit and when.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /** Of all memory, in bytes. */
  readonly memory: number;
  readonly platform: string;
  readonly node: string;
  readonly normpool: string;
  /** Null where normpool is not a checkout. */
  readonly commit: string | null;
  /** ISO 8601, when the bench began. */
  readonly date: string;
}

const ROOT = new URL("../../", import.meta.url);

export function describeMachine(): Machine {
  const { version } = JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8")) as { version: string };
  return {
    cpu: cpus()[0]?.model.trim() || process.arch,
    cores: availableParallelism(),
    memory: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    normpool: version,
    commit: commit(),
    date: new Date().toISOString(),
  };
}

export function formatMachine({ cpu, cores, memory, platform, node, normpool, commit: at }: Machine): string {
  const version = at === null ? normpool : `${normpool} at commit ${at}`;
  return `${cpu}, ${cores} ${cores === 1 ? "core" : "cores"}, ${Math.round(memory / 2 ** 30)} GiB, ${platform}, Node ${node}, normpool ${version}`;
}

function commit(): string | null {
  // Inside somebody's node_modules git would answer with their commit.
  if (!existsSync(new URL(".git", ROOT))) return null;
  try {
    const git = (...args: string[]) =>
      execFileSync("git", args, { cwd: fileURLToPath(ROOT), encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
    return `${git("rev-parse", "--short", "HEAD").trim()}${changed ? " and changes" : ""}`;
  } catch {
    return null;
  }
}

/** Bytes that the bench may take without making the machine swap or its container end it. */
export function memoryToUse(): number {
  return 0.6 * Math.min(freemem(), process.availableMemory());
}
