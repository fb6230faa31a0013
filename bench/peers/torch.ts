// PyTorch, in a process of its own.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Call } from "./calls.js";
import type { Inputs, Peer, PeerCall } from "./peer.js";

const SCRIPT = fileURLToPath(new URL("../../../bench/peers/pytorch.py", import.meta.url));

/** Has glibc keep what is freed: fresh memory costs a page fault for every 4 KiB. */
const REUSED = {
  MALLOC_MMAP_THRESHOLD_: "4294967296",
  MALLOC_TRIM_THRESHOLD_: "17179869184",
  MALLOC_TOP_PAD_: "1073741824",
};

interface Answer {
  readonly version?: string;
  readonly milliseconds?: number;
  readonly error?: string;
}

/** Throws where that Python has no torch. */
export async function startTorch(python: string, reused: boolean): Promise<Peer> {
  const child = spawn(python, [SCRIPT], { env: { ...process.env, ...(reused && REUSED) }, stdio: "pipe" });
  const conversation = new Conversation(child);
  const { version = "" } = await conversation.answer();
  return new Torch(reused ? "PyTorch, memory reused" : "PyTorch as installed", version, child, conversation);
}

/** One line is asked, one is answered. */
class Conversation {
  readonly #lines: AsyncIterator<string>;
  readonly #child: ChildProcess;
  #stderr = "";

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on("error", (error) => {
      this.#stderr += error.message;
    });
    child.stdin?.on("error", () => {}); // said by the missing answer
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-4000);
    });
    this.#lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async ask(question: object): Promise<Answer> {
    this.#child.stdin?.write(`${JSON.stringify(question)}\n`);
    return this.answer();
  }

  async answer(): Promise<Answer> {
    const { value, done } = await this.#lines.next();
    if (done) {
      if (this.#child.exitCode === null && this.#child.pid !== undefined) await once(this.#child, "exit");
      throw new Error(this.#stderr || "Python ended");
    }
    const answer = JSON.parse(value) as Answer;
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }
}

class Torch implements Peer {
  readonly name: Peer["name"];
  readonly version: string;
  readonly hasThreads = true;
  readonly #child: ChildProcess;
  readonly #conversation: Conversation;
  readonly #folder = mkdtempSync(join(tmpdir(), "normpool-bench-"));

  constructor(name: Peer["name"], version: string, child: ChildProcess, conversation: Conversation) {
    this.name = name;
    this.version = version;
    this.#child = child;
    this.#conversation = conversation;
  }

  async prepare(call: Call, { shape, x, g }: Inputs, threads: number): Promise<PeerCall | undefined> {
    if (call.channelAxis !== undefined) return undefined;
    const [from, gradient, result] = ["x", "g", "y"].map((name) => join(this.#folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(from, x);
    writeFileSync(gradient, g);
    writeFileSync(result, "");
    truncateSync(result, x.byteLength);
    const { name, backward = false } = call;
    const question = { do: "prepare", call: name, shape, threads, backward, x: from, g: gradient, result };
    await this.#conversation.ask(question);
    return {
      result: async () => {
        const bytes = readFileSync(result);
        return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
      },
      run: async () => (await this.#conversation.ask({ do: "run" })).milliseconds,
      end: async () => {
        await this.#conversation.ask({ do: "end" });
      },
    };
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) await once(this.#child, "exit");
    rmSync(this.#folder, { recursive: true });
  }
}
