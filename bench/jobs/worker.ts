// node worker.js <threads>: does what it is asked of a job, a line each. As a queue's worker it has started before there is a job.
import { createInterface } from "node:readline";
import { finishJob, mergeParts, NormPool, runPart } from "../../src/index.js";

export type Question =
  | { readonly do: "moments" | "apply"; readonly folder: string; readonly part: number }
  | { readonly do: "merge" | "finish"; readonly folder: string };

async function run(pool: NormPool, question: Question): Promise<void> {
  const { folder } = question;
  if ("part" in question) await runPart(pool, folder, question.do, question.part);
  else if (question.do === "merge") await mergeParts(pool, folder);
  else await finishJob(folder, { remove: true });
}

async function answerTo(pool: NormPool, line: string): Promise<object> {
  try {
    const start = performance.now();
    await run(pool, JSON.parse(line) as Question);
    return { milliseconds: performance.now() - start };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

await using pool = new NormPool({ threads: Number(process.argv[2]) });
console.log(JSON.stringify({ version: process.version }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answerTo(pool, line)));
}
