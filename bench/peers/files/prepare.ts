// A peer's first run, whose result is compared with normpool's, and where all read and write.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { peakOf } from "../../peak.js";
import type { Conversation } from "../conversation.js";
import { checkFile } from "./cells.js";
import type { Job } from "./job.js";
import { type FilePeer, NORMPOOL } from "./start.js";

export interface Running {
  readonly peer: FilePeer;
  readonly version: string;
  readonly conversation: Conversation;
}

/** A peer whose result is right. */
export interface Prepared extends Running {
  readonly peak: number | null;
  run(): Promise<number>;
}

/** Where each one reads and writes. */
export class Files {
  readonly #folder: string;
  readonly #job: Omit<Job, "input" | "output">;
  readonly #expected: string;

  constructor(folder: string, job: Omit<Job, "input" | "output">) {
    this.#folder = folder;
    this.#job = job;
    this.#expected = join(folder, "expected.npy");
  }

  input({ name, format }: FilePeer): string {
    return join(this.#folder, format === ".npy" ? "x.npy" : `${name}.parquet`);
  }

  /** Makes the input of a peer that has a format of its own. */
  async convert({ peer, conversation }: Running): Promise<void> {
    await conversation.ask({ do: "convert", ...this.#job, input: this.input(NORMPOOL), output: this.input(peer) });
  }

  /** The first run. Throws where the result is not normpool's, which is kept until `removeExpected`. */
  async prepare({ peer, version, conversation }: Running): Promise<Prepared> {
    const output = join(this.#folder, `y${peer.format === ".npy" ? ".npy" : ".parquet"}`);
    const runInto = (path: string) => {
      return conversation.ask({ do: "run", ...this.#job, input: this.input(peer), output: path });
    };
    const run = async () => {
      const { milliseconds = Number.NaN } = await runInto(output);
      // With it goes what is still to be written to the disk: the next one would wait for that.
      rmSync(output);
      return milliseconds;
    };
    await runInto(peer === NORMPOOL ? this.#expected : output);
    const peak = peakOf(conversation.pid);
    if (peer === NORMPOOL) return { peer, version, conversation, peak, run };
    const cells = peer.format === ".npy" ? output : join(this.#folder, "cells");
    if (cells !== output) await conversation.ask({ do: "cells", ...this.#job, input: output, output: cells });
    try {
      checkFile(cells, this.#expected, this.#job.rows, this.#job.columns);
    } finally {
      for (const path of new Set([output, cells])) rmSync(path);
    }
    return { peer, version, conversation, peak, run };
  }

  removeExpected(): void {
    rmSync(this.#expected);
  }
}
