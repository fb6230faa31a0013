// Processes that do a job's parts, each the next one that nobody has: a queue's workers without a queue.
import { fileURLToPath } from "node:url";
import { jobStatus } from "../../src/index.js";
import type { JobTimes } from "../jobs.js";
import { Conversation } from "../peers/conversation.js";
import type { Question } from "./worker.js";

const SCRIPT = fileURLToPath(new URL("./worker.js", import.meta.url));

export class Workers {
  readonly #processes: readonly Conversation[];

  private constructor(processes: readonly Conversation[]) {
    this.#processes = processes;
  }

  /** Of so many processes, with `threads` threads each. */
  static async start(count: number, threads: number): Promise<Workers> {
    const processes = Array.from({ length: count }, () => new Conversation(process.execPath, [SCRIPT, `${threads}`]));
    for (const one of processes) await one.answer();
    return new Workers(processes);
  }

  /**
   * Does a job that is planned, to its end, by the first `count` processes.
   * @returns what steps took, in milliseconds
   */
  async run(folder: string, count = this.#processes.length): Promise<Omit<JobTimes, "plan">> {
    const times = { moments: 0, merge: 0, apply: 0, finish: 0 };
    const { phases } = await jobStatus(folder);
    for (const { phase, parts } of phases) {
      times[phase] = await timed(() => this.parts(folder, phase, { from: 0, to: parts }, count));
      if (phase === "moments") times.merge = 1000 * (await this.seconds({ do: "merge", folder }));
    }
    times.finish = 1000 * (await this.seconds({ do: "finish", folder }));
    return times;
  }

  /** What the first process takes. */
  async seconds(question: Question): Promise<number> {
    const { milliseconds = 0 } = (await this.#processes[0]?.ask(question)) ?? {};
    return milliseconds / 1000;
  }

  /** Does parts [from, to) by the first `count` processes. */
  async parts(
    folder: string,
    phase: "moments" | "apply",
    { from, to }: { readonly from: number; readonly to: number },
    count = this.#processes.length,
  ): Promise<void> {
    let next = from;
    const work = async (worker: Conversation) => {
      while (next < to) await worker.ask({ do: phase, folder, part: next++ });
    };
    await Promise.all(this.#processes.slice(0, count).map(work));
  }

  async close(): Promise<void> {
    for (const one of this.#processes) await one.end();
  }
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}
