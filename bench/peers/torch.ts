// PyTorch, in a process of its own.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Call } from "./calls.js";
import { Conversation } from "./conversation.js";
import type { Inputs, Peer, PeerCall } from "./peer.js";

const SCRIPT = fileURLToPath(new URL("../../../bench/peers/pytorch.py", import.meta.url));

/** Has glibc keep what is freed: fresh memory costs a page fault for every 4 KiB. */
const REUSED = {
  MALLOC_MMAP_THRESHOLD_: "4294967296",
  MALLOC_TRIM_THRESHOLD_: "17179869184",
  MALLOC_TOP_PAD_: "1073741824",
};

/** Throws where that Python has no torch. */
export async function startTorch(python: string, reused: boolean): Promise<Peer> {
  const conversation = new Conversation(python, ["-B", SCRIPT], reused ? REUSED : {});
  const { version = "" } = await conversation.answer();
  return new Torch(reused ? "PyTorch, memory reused" : "PyTorch as installed", version, conversation);
}

class Torch implements Peer {
  readonly name: Peer["name"];
  readonly version: string;
  readonly hasThreads = true;
  readonly #conversation: Conversation;
  readonly #folder = mkdtempSync(join(tmpdir(), "normpool-bench-"));

  constructor(name: Peer["name"], version: string, conversation: Conversation) {
    this.name = name;
    this.version = version;
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
    await this.#conversation.end();
    rmSync(this.#folder, { recursive: true });
  }
}
