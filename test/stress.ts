// Has each test of a file run as often as NORMPOOL_STRESS says. vitest.stress.config.js puts it before those of scheduling.
import { beforeAll, type RunnerTestFile, type RunnerTestSuite } from "vitest";

const { NORMPOOL_STRESS = "1" } = process.env;

// biome-ignore lint/correctness/noEmptyPattern: vitest takes nothing else for a context of which nothing is needed.
beforeAll(({}, file) => repeat(file as RunnerTestFile));

function repeat({ tasks }: RunnerTestFile | RunnerTestSuite): void {
  for (const task of tasks) {
    if (task.type === "suite") repeat(task);
    else task.repeats = Number(NORMPOOL_STRESS) - 1;
  }
}
