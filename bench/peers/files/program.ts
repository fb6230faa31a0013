// node program.js <peer>: those of the peers that are Node's, and normpool itself, each in a process of its own.
import { createInterface } from "node:readline";
import { messageOf } from "../peer.js";
import type { FileProgram, Job } from "./job.js";

const STARTS: Readonly<Record<string, () => Promise<FileProgram>>> = {
  normpool: async () => (await import("./normpool.js")).startNormpool(),
  duckdb: async () => (await import("./duckdb.js")).startDuckDB(),
  polars: async () => (await import("./polars.js")).startPolars(),
};

async function answerTo({ run, convert, cells }: FileProgram, line: string): Promise<object> {
  const { do: what, ...job } = JSON.parse(line) as Job & { readonly do: "run" | "convert" | "cells" };
  try {
    if (what === "run") return { milliseconds: await run(job) };
    await (what === "convert" ? convert : cells)?.(job);
    return {};
  } catch (error) {
    return { error: messageOf(error) };
  }
}

const [, , name = ""] = process.argv;
const program = await STARTS[name]?.();
if (program === undefined) throw new Error(`expected ${Object.keys(STARTS).join(", ")} but got ${name}`);
console.log(JSON.stringify({ version: program.version }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answerTo(program, line)));
}
