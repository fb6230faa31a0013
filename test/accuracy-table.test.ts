// The table in docs/accuracy.md is committed, so it could go stale: here it is measured again.
import { expect, test } from "vitest";
import { accuracyTable, withTable } from "../docs/measure-accuracy.js";
import { readDocument } from "./programs.js";

const document = readDocument("docs/accuracy.md");

test("the committed table is what the script measures", async () => {
  expect(document, "docs/accuracy.md is stale: npm run accuracy").toBe(withTable(document, await accuracyTable()));
});

test("README.md and docs/pytorch.md say the table's numbers", () => {
  const cellsOf = (layer: string) => {
    const row = document.split("\n").find((line) => line.startsWith(`| ${layer} | 1e4 |`));
    return row?.split(" | ").slice(2, 4) ?? [];
  };
  const [theirs, ours] = cellsOf("LayerNorm");
  expect(readDocument("README.md").replace(/\s+/g, " ")).toContain(`off by ${theirs}, and normpool's by ${ours}:`);
  const pytorch = readDocument("docs/pytorch.md").replace(/\s+/g, " ");
  const [lastTheirs, lastOurs] = cellsOf("GroupNorm channels-last");
  expect(pytorch).toContain(
    `LayerNorm is off by ${theirs}, channels last its GroupNorm by ${lastTheirs}; here both are by less than 8e-7`,
  );
  expect(Math.max(Number(ours), Number(lastOurs))).toBeLessThan(8e-7);
});
