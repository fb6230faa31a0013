// The drawing in docs/ is committed, so it could go stale: here it is drawn again, and what it should colour is counted
// without the geometry.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { drawGeometry } from "../docs/draw-geometry.js";

const N = 5;
const C = 6;
const S = 7;
const CHANNELS_IN_GROUP = 3;

// The front is C x S at the first sample, the side N x S at the first channel, the top C x N at the first position.
const FACES = { front: C * S, side: N * S, top: C * N };

const COLOURED = {
  BatchNorm: { rule: "(g): R × S", front: S, side: N * S, top: N },
  LayerNorm: { rule: "(n): K", front: C * S, side: S, top: C },
  InstanceNorm: { rule: "(n, g): S", front: S, side: S, top: 1 },
  GroupNorm: { rule: "(n, g): K × S", front: CHANNELS_IN_GROUP * S, side: S, top: CHANNELS_IN_GROUP },
};

test("the committed drawing is what the script draws", () => {
  const committed = readFileSync(new URL("../../docs/geometry.svg", import.meta.url), "utf8");
  expect(committed, "docs/geometry.svg is stale: npm run draw").toBe(drawGeometry());
});

describe.each(Object.entries(COLOURED))("%s", (layer, { rule, ...coloured }) => {
  const panel = between(drawGeometry(), `<g id="${layer}"`, "\n  </g>");

  test.each(["front", "side", "top"] as const)("the %s has the right number of coloured cells", (face) => {
    const cells = between(panel, `<g class="${face}">`, "</g>");
    expect(count(cells, "<path")).toBe(FACES[face]);
    expect(count(cells, 'class="set"')).toBe(coloured[face]);
  });

  test("the line under it says what a set is", () => {
    expect(panel).toContain(`>a set is ${rule}<`);
  });
});

function between(text: string, start: string, end: string): string {
  const from = text.indexOf(start);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`the drawing has no ${start}`);
  return text.slice(from, to);
}

function count(text: string, part: string): number {
  return text.split(part).length - 1;
}
