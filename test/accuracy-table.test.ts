// The table in docs/accuracy.md is committed, so it could go stale: here it is measured again.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { accuracyTable, withTable } from "../docs/measure-accuracy.js";

const document = readFileSync(new URL("../../docs/accuracy.md", import.meta.url), "utf8");

test("the committed table is what the script measures", async () => {
  expect(document, "docs/accuracy.md is stale: npm run accuracy").toBe(withTable(document, await accuracyTable()));
});
