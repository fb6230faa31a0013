// Processes of the command's that serve queues, and what they say.
import { type ChildProcess, spawn } from "node:child_process";
import { COMMAND } from "./command.js";

/** A worker that says nothing for so many seconds is dead: tests wait for that. */
export const DEAD_AFTER = 0.5;

interface Said {
  readonly lines: readonly string[];
  /** Resolves with the first line that is like `pattern`, said before or later; rejects when the process ends without one. */
  line(pattern: RegExp): Promise<string>;
}

export interface Running extends Said {
  readonly child: ChildProcess;
  /** An exit code, or a signal's name. */
  readonly ended: Promise<number | string>;
  kill(signal: NodeJS.Signals): void;
}

/** Where a process sends itself a signal: before a file gets its name for the `nth` time, counted from 1, of those whose name is like `pattern`. */
export interface Fate {
  readonly signal: NodeJS.Signals;
  readonly nth: number;
  readonly pattern: RegExp;
}

/** Runs a command in `folder`, with the queue's URL in its environment. */
export function start(folder: string, url: string, args: readonly string[], fate?: Fate): Running {
  const preload =
    fate === undefined ? [] : ["--import", `data:text/javascript,${encodeURIComponent(fateModule(fate))}`];
  const child = spawn(process.execPath, [...preload, COMMAND, ...args], {
    cwd: folder,
    env: { ...process.env, NORMPOOL_QUEUE: url },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of waiting) look();
  };
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream?.setEncoding("utf8").on("data", (text: string) => {
      const found = (rest + text).split("\n");
      rest = found.pop() as string;
      lines.push(...found);
      wake();
    });
  }
  let hasEnded = false;
  const ended = new Promise<number | string>((resolve) => {
    child.once("close", (code, signal) => {
      hasEnded = true;
      resolve(code ?? signal ?? "unknown");
      wake();
    });
  });
  const line = (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const found = lines.find((text) => pattern.test(text));
        if (found === undefined && !hasEnded) return;
        waiting.delete(look);
        if (found !== undefined) resolve(found);
        else reject(new Error(`expected a line like ${pattern} but got:\n${lines.join("\n")}`));
      };
      waiting.add(look);
      look();
    });
  return { child, lines, line, ended, kill: (signal) => void child.kill(signal) };
}

/** A worker with one thread that serves a queue's jobs below `folder`. */
export function startWorker(folder: string, url: string, queueName: string, fate?: Fate): Running {
  const args = ["worker", "--threads", "1", "--queue-name", queueName, "--dead-after", String(DEAD_AFTER)];
  return start(folder, url, args, fate);
}

function fateModule({ signal, nth, pattern }: Fate): string {
  return `
    import fs from "node:fs/promises";
    import { writeSync } from "node:fs";
    import { syncBuiltinESMExports } from "node:module";
    import { isMainThread } from "node:worker_threads";
    if (isMainThread) {
      let count = 0;
      for (const name of ["rename", "link"]) {
        const real = fs[name];
        fs[name] = (from, to) => {
          if (${pattern}.test(to) && ++count === ${nth}) {
            writeSync(2, ${JSON.stringify(`${signal} now
`)});
            process.kill(process.pid, ${JSON.stringify(signal)});
          }
          return real(from, to);
        };
      }
      syncBuiltinESMExports();
    }`;
}
