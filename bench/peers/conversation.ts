// A peer in a process of its own: one line of JSON is asked, one is answered.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

interface Answer {
  /** Of the first line, which nobody asked for: it says that the process is ready. */
  readonly version?: string;
  readonly milliseconds?: number;
  readonly error?: string;
}

export class Conversation {
  readonly #lines: AsyncIterator<string>;
  readonly #child: ChildProcess;
  #stderr = "";

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: "pipe" });
    this.#child = child;
    child.on("error", (error) => {
      this.#stderr += error.message;
    });
    child.stdin.on("error", () => {}); // said by the missing answer
    child.stderr.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-4000);
    });
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async ask(question: object): Promise<Answer> {
    this.#child.stdin?.write(`${JSON.stringify(question)}\n`);
    return this.answer();
  }

  async answer(): Promise<Answer> {
    const { value, done } = await this.#lines.next();
    if (done) {
      await this.#exit();
      throw new Error(this.#stderr || "its process ended");
    }
    const answer = JSON.parse(value) as Answer;
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  /** Ends the process, which it does when nothing more can be asked. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    await this.#exit();
  }

  async #exit(): Promise<void> {
    const { exitCode, signalCode, pid } = this.#child;
    if (exitCode === null && signalCode === null && pid !== undefined) await once(this.#child, "exit");
  }
}
