// Draws geometry.svg, after Figure 2 of "Group Normalization" (Wu & He, 2018). Which cells are coloured, and the lines
// under them, come from src/geometry.ts: the drawing cannot say anything else than the code does.
import { realpathSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  batchNormGeometry,
  type Geometry,
  groupNormGeometry,
  instanceNormGeometry,
  layerNormGeometry,
  setOf,
} from "../src/plan/geometry.js";

type Axis = "n" | "c" | "s";
type Vector = readonly [x: number, y: number];

// Three different sizes, so that [N, R, G, K, S] under a block tells which axis went where.
const SIZE = { n: 5, c: 6, s: 7 } as const;
const VIEW = { n: SIZE.n, before: 1, c: SIZE.c, after: SIZE.s };
const LAYERS: readonly (readonly [name: string, geometry: Geometry])[] = [
  ["BatchNorm", batchNormGeometry(VIEW)],
  ["LayerNorm", layerNormGeometry(SIZE.n, SIZE.c * SIZE.s)],
  ["InstanceNorm", instanceNormGeometry(VIEW)],
  ["GroupNorm", groupNormGeometry(VIEW, 2)],
];

// Cell 0 is at the block's near top corner, so set 0, which has it, is always in sight. From there c goes left,
// n right, s down, by steps that are isometric to within a degree and keep every coordinate whole.
const STEP: Readonly<Record<Axis, Vector>> = { n: [16, -9], c: [-16, -9], s: [0, 18] };
const FACES: readonly (readonly [name: string, across: Axis, down: Axis])[] = [
  ["front", "c", "s"],
  ["side", "n", "s"],
  ["top", "c", "n"],
];

const PANEL = { width: 240, height: 368 };
const NEAR: Vector = [136, 156];
// The slope of the steps, in degrees.
const SLANT = 29.36;

const STYLE = `
    text { font: 16px sans-serif; text-anchor: middle; fill: #1f2328; }
    .name { font-size: 24px; font-weight: bold; }
    .rule { font-size: 20px; }
    .view, .axis { fill: #59636e; }
    path { stroke: #818b98; stroke-linejoin: round; }
    .front { fill: #eff2f5; } .side { fill: #dfe4e9; } .top { fill: #ffffff; }
    .set { stroke: #0a3069; }
    .front .set { fill: #218bff; } .side .set { fill: #0969da; } .top .set { fill: #80ccff; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .view, .axis { fill: #9198a1; }
      path { stroke: #656c76; }
      .front { fill: #212830; } .side { fill: #151b23; } .top { fill: #2f3742; }
      .set { stroke: #051d4d; }
      .front .set { fill: #388bfd; } .side .set { fill: #1f6feb; } .top .set { fill: #79c0ff; }
    }`;

/** The whole file, the same bytes at every call. */
export function drawGeometry(): string {
  const viewBox = `0 0 ${PANEL.width * LAYERS.length} ${PANEL.height}`;
  const rules = LAYERS.map(([name, geometry]) => `In ${name}, ${rule(geometry)}.`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${viewBox}" role="img" aria-labelledby="title desc">
  <title id="title">Which cells share a mean in BatchNorm, LayerNorm, InstanceNorm and GroupNorm</title>
  <desc id="desc">
    Four blocks of cells with axes N (batch), C (channels) and H, W (space).
    One set, the cells that share one mean and variance, is coloured in each.
    ${rules.join("\n    ")}
  </desc>
  <style>${STYLE}
  </style>
${LAYERS.map(([name, geometry], i) => drawPanel(name, geometry, i * PANEL.width)).join("\n")}
</svg>
`;
}

function drawPanel(name: string, geometry: Geometry, x: number): string {
  const { n, r, g, k, s } = geometry;
  const middle = PANEL.width / 2;
  return `  <g id="${name}" transform="translate(${x} 0)">
    <text class="name" x="${middle}" y="30">${name}</text>
${FACES.map(([face, across, down]) => drawFace(geometry, face, across, down)).join("\n")}
${drawAxes()}
    <text class="rule" x="${middle}" y="${PANEL.height - 38}">${rule(geometry)}</text>
    <text class="view" x="${middle}" y="${PANEL.height - 12}">[N, R, G, K, S] = [${n}, ${r}, ${g}, ${k}, ${s}]</text>
  </g>`;
}

function drawFace(geometry: Geometry, face: string, across: Axis, down: Axis): string {
  const [ux, uy] = STEP[across];
  const [vx, vy] = STEP[down];
  const rest: string[] = [];
  const coloured: string[] = [];
  for (let j = 0; j < SIZE[down]; j++) {
    for (let i = 0; i < SIZE[across]; i++) {
      const cell = { n: 0, c: 0, s: 0, [across]: i, [down]: j };
      const inSet = setOf(geometry, (cell.n * SIZE.c + cell.c) * SIZE.s + cell.s) === 0;
      const corner = `M${NEAR[0] + i * ux + j * vx} ${NEAR[1] + i * uy + j * vy}`;
      const outline = `d="${corner}l${ux} ${uy} ${vx} ${vy} ${-ux} ${-uy}z"`;
      if (inSet) coloured.push(`<path class="set" ${outline}/>`);
      else rest.push(`<path ${outline}/>`);
    }
  }
  // The coloured cells last, or the grey lines of their neighbours would cover their edges.
  return `    <g class="${face}">\n      ${[...rest, ...coloured].join("\n      ")}\n    </g>`;
}

/** Each label lies along the edge that it names, a little outside the block. */
function drawAxes(): string {
  const half = (axis: Axis): Vector => [(SIZE[axis] * STEP[axis][0]) / 2, (SIZE[axis] * STEP[axis][1]) / 2];
  const [n, c, s] = [half("n"), half("c"), half("s")];
  const label = (text: string, [dx, dy]: Vector, angle: number) =>
    `    <text class="axis" transform="translate(${NEAR[0] + dx} ${NEAR[1] + dy}) rotate(${angle})">${text}</text>`;
  return [
    label("C (channels)", [c[0] - 9, 2 * s[1] + c[1] + 16], SLANT),
    label("N (batch)", [n[0] + 9, 2 * s[1] + n[1] + 16], -SLANT),
    label("H, W (space)", [2 * c[0] - 10, 2 * c[1] + s[1]], -90),
  ].join("\n");
}

/** What a set is, leaving out the axes that are one cell long. */
function rule({ n, r, g, k, s }: Geometry): string {
  const fixed = [n > 1 && "n", g > 1 && "g"].filter(Boolean).join(", ");
  const shared = [r > 1 && "R", k > 1 && "K", s > 1 && "S"].filter(Boolean).join(" × ");
  return `a set is (${fixed}): ${shared}`;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("../../docs/geometry.svg", import.meta.url), drawGeometry());
}
