// Tiles: that they cover what a slice computes, that nothing of them outgrows the kernels' 32 bits, and slices beyond 4 GiB.
import { beforeAll, describe, expect, test } from "vitest";
import { LayerNorm, NormPool } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { Workspace } from "../src/memory/workspace.js";
import { planBackward } from "../src/plan/backward.js";
import { CELL_BYTES, type Dtype } from "../src/plan/cells.js";
import { planForward } from "../src/plan/forward.js";
import type { Geometry } from "../src/plan/geometry.js";
import { momentsPhase, reducePhase } from "../src/plan/layout.js";
import type { Phase } from "../src/plan/phase.js";
import { phasesOf as phasesOfPlan } from "../src/plan/plan.js";
import { sliceCount, slicesOf } from "../src/plan/slices.js";
import type { Spec } from "../src/storage/spec.js";
import { instantiate, type Kernels, kernelModule } from "../workers/kernels.js";
import { NO_PARAMETERS, NO_RESULTS, NO_TABLES, type Operands } from "../workers/operands.js";
import { runUnits } from "../workers/phase.js";
import { stagedBytesOf } from "../workers/staging.js";
import type { Tile } from "../workers/tiles/tile.js";
import { stagedSlices, tileBytesFor, tileCells, tilesOf } from "../workers/tiles.js";
import { normal, seeded } from "./support.js";

const GIB = 2 ** 30;
const MEBI = 2 ** 20;
const DTYPE: Dtype = "float32";

function momentsOf(geometry: Geometry): Phase {
  return momentsPhase(geometry, geometry.n * geometry.r, true);
}

function phasesOf(geometry: Geometry): Phase[] {
  const options = { dtype: DTYPE, eps: 1e-5, measure: "deviation" } as const;
  const forward = { ...options, affine: "channel", wanted: false } as const;
  const backward = { ...options, parameters: true, rows: false, weighted: true, givenSums: false };
  return [
    momentsOf(geometry),
    reducePhase(geometry, geometry.n * geometry.r, false),
    ...phasesOfPlan(planForward(geometry, { ...forward, statistics: "own" })),
    ...phasesOfPlan(planForward(geometry, { ...forward, statistics: "running" })),
    ...phasesOfPlan(planBackward(geometry, { ...backward, statistics: "own" })),
  ];
}

/** Geometries of every layout: consecutive sets, runs, columns, a weight a cell, with a sample of 2^20 to 2^21 cells. */
const GEOMETRIES: readonly Geometry[] = [
  { n: 1, r: 1, g: 1000, k: 1024, s: 1 },
  { n: 1, r: 1, g: 1, k: 1_500_001, s: 1 },
  { n: 1, r: 1, g: 4, k: 2, s: 131_073 },
  { n: 1, r: 1, g: 4, k: 60_000, s: 5 },
  { n: 1, r: 50, g: 3, k: 7, s: 1001 },
  { n: 1, r: 300, g: 5, k: 3, s: 301 },
  { n: 1, r: 1000, g: 1100, k: 1, s: 1 },
  { n: 1, r: 9001, g: 20, k: 3, s: 2 },
];

const [FEW, MANY] = [tileBytesFor(2, 4 * 2 ** 30), tileBytesFor(256, 4 * 2 ** 30)];

describe.each(GEOMETRIES.flatMap((geometry) => [FEW, MANY].map((tileBytes) => ({ geometry, tileBytes }))))(
  "of $geometry, of $tileBytes bytes",
  ({ geometry, tileBytes }) => {
    const room = { dtype: DTYPE, tileBytes } as const;
    const { r, g, k, s } = geometry;
    const sample = r * g * k * s;

    test("tiles are within their room, and every cell is in one of them", () => {
      for (const phase of phasesOf({ ...geometry, n: 3 })) {
        const seen = new Uint8Array(3 * sample);
        for (const tile of tilesOf(phase, room, 0, phase.units)) {
          expect(tile.rows * tile.width).toBeLessThanOrEqual(tileCells(phase, room));
          for (let row = 0; row < tile.rows; row++) {
            const from = tile.at + row * tile.stride;
            for (let cell = from; cell < from + tile.width; cell++) seen[cell] = (seen[cell] as number) + 1;
          }
        }
        expect(seen.every((times) => times === 1)).toBe(true);
      }
    });

    test("tiles of samples beyond 2^40 cells are those of the first, further on, in numbers of 32 bits", () => {
      const far = 2 ** 20 + 2;
      for (const phase of phasesOf({ ...geometry, n: far + 2 })) {
        // Units that are blocks of samples are of other sizes.
        if (phase.kind === "accumulate" || (phase.kind === "differentiate" && phase.byCell)) continue;
        const perSample = phase.units / (far + 2);
        if (!Number.isInteger(perSample)) throw new Error(`expected a whole number of units but got ${perSample}`);
        const ofFirst = [...tilesOf(phase, room, 0, perSample)];
        const ofFar = [...tilesOf(phase, room, far * perSample, (far + 1) * perSample)];
        expect(ofFar.map(({ at }) => at - far * sample)).toEqual(ofFirst.map(({ at }) => at));
        expect(ofFar.map(placeOf)).toEqual(ofFirst.map(placeOf));
        for (const tile of ofFar) for (const number of kernelNumbers(tile)) expect(number).toBeLessThan(2 ** 32);
      }
    });
  },
);

function placeOf({ rows, width, first, count, before }: Tile) {
  return { rows, width, first, count, before };
}

/** What kernels are told of a tile as it is: the rest are addresses, which count modulo 2^32. */
function kernelNumbers({ phase, first, count }: Tile): number[] {
  const { units, ...rest } = phase as Phase & { sets?: number };
  return [first, count, ...Object.values(rest).filter((value): value is number => typeof value === "number")];
}

describe("slices beyond 4 GiB", () => {
  const arena = new Arena();
  let kernels: Kernels;
  beforeAll(() => {
    kernels = instantiate(kernelModule(), arena.memory, 0);
  });
  // Address space: only the pages that a slice touches come to be.
  const buffer = new SharedArrayBuffer(5 * GIB);
  const x = { kind: "shared", buffer, byteOffset: 0 } as const;

  function operandsOf(dtype: Dtype, x: Spec, y: Spec | null, partials = 0): Operands {
    return {
      dtype,
      tensors: { x, g: null, y },
      window: null,
      tileBytes: FEW,
      parameters: NO_PARAMETERS,
      tables: NO_TABLES,
      results: { ...NO_RESULTS, partials },
      continues: false,
    };
  }

  const cases: [string, Dtype, Geometry][] = [
    ["rows of float32", "float32", { n: 1.2 * MEBI, r: 1, g: 1, k: 1024, s: 1 }],
    ["one row of float32", "float32", { n: 1, r: 1, g: 1, k: 1.2 * GIB, s: 1 }],
    ["one row of uint8", "uint8", { n: 1, r: 1, g: 1, k: 4.8 * GIB, s: 1 }],
    ["one column of uint8", "uint8", { n: 1, r: 4.8 * GIB, g: 1, k: 1, s: 1 }],
    ["columns of float32", "float32", { n: 1, r: 1.2 * MEBI, g: 1024, k: 1, s: 1 }],
    ["planes of float16", "float16", { n: 1, r: 100_000, g: 512, k: 1, s: 49 }],
  ];
  test.each(cases)("moments of %s", (_, dtype, { n, r, g, k, s }) => {
    const whole = { n: Math.floor(n), r: Math.floor(r), g, k: Math.floor(k), s };
    const phase = momentsOf(whole);
    const slices = stagedSlices(phase, { dtype, tileBytes: FEW }, 1);
    const first = (sliceCount(slices) - 1) * slices.perSlice;
    const tiles = [...tilesOf(phase, { dtype, tileBytes: FEW }, first, phase.units)];
    const bytes = CELL_BYTES[dtype];
    const random = seeded(1);
    for (const { at, rows, width, stride } of tiles) {
      expect(at * bytes).toBeGreaterThan(4 * GIB);
      for (let row = 0; row < rows; row++) {
        // Below infinity as float16, and of float32 numbers below 1.
        const view = new Uint8Array(buffer, (at + row * stride) * bytes, width * bytes);
        for (let i = 0; i < view.length; i++) view[i] = random() * (i % bytes === bytes - 1 ? 60 : 256);
      }
    }
    const workspace = new Workspace(arena, "test");
    const stage = workspace.bytes(stagedBytesOf(phase, { dtype, tileBytes: FEW }, false));
    const shift = tiles[0]?.ahead.partials ?? 0;
    const span = (tiles.at(-1)?.ahead.partials ?? 0) - shift + 16 * 2048;
    const found = workspace.float64(span / 8);
    runUnits(kernels, phase, operandsOf(dtype, x, null, found.address - shift), first, phase.units, stage);
    for (const tile of tiles) {
      // The tile as a tensor of the arena's.
      const address = arena.take("test", tile.rows * tile.width * bytes);
      for (let row = 0; row < tile.rows; row++) {
        const from = new Uint8Array(buffer, (tile.at + row * tile.stride) * bytes, tile.width * bytes);
        new Uint8Array(arena.memory.buffer, address + row * tile.width * bytes, from.length).set(from);
      }
      const alone = workspace.float64(4096);
      alone.values.fill(Number.NaN);
      const phaseAlone = { ...tile.phase, units: tile.count };
      const operands = operandsOf(dtype, { kind: "arena", address }, null, alone.address);
      runUnits(kernels, phaseAlone, operands, 0, tile.count, stage);
      const start = ((tile.ahead.partials ?? 0) - shift) / 8;
      const written = alone.values.findIndex(Number.isNaN);
      expect(written).toBeGreaterThan(0);
      expect([...found.values.slice(start, start + written)]).toEqual([...alone.values.slice(0, written)]);
    }
    workspace.giveBack();
  });

  test("normalize, in place", () => {
    const plain = { eps: 1e-5, measure: "deviation", affine: "none", wanted: false, statistics: "own" } as const;
    const [phase] = phasesOfPlan(
      planForward({ n: 1.25 * MEBI, r: 1, g: 1, k: 1024, s: 1 }, { ...plain, dtype: DTYPE }),
    );
    if (phase?.kind !== "normalize") throw new Error("expected one phase");
    const slices = slicesOf(phase);
    const first = (sliceCount(slices) - 1) * slices.perSlice;
    const at = first * 4096;
    expect(at).toBeGreaterThan(4 * GIB);
    const cells = new Float32Array(buffer, at, (phase.units - first) * 1024);
    cells.set(normal(cells.length, 1, 5, 3));
    const workspace = new Workspace(arena, "test");
    const stage = workspace.bytes(stagedBytesOf(phase, { dtype: DTYPE, tileBytes: FEW }, false));
    const address = arena.take("test", cells.byteLength);
    const alone = new Float32Array(arena.memory.buffer, address, cells.length);
    alone.set(cells);
    runUnits(kernels, phase, operandsOf(DTYPE, x, x), first, phase.units, stage);
    const there = { kind: "arena", address } as const;
    runUnits(kernels, phase, operandsOf(DTYPE, there, there), 0, phase.units - first, stage);
    expect(Buffer.compare(Buffer.from(buffer, at, cells.byteLength), Buffer.from(alone.slice().buffer))).toBe(0);
    expect(cells[0]).not.toBe(0);
    workspace.giveBack();
  });
});

test("tiles of rows whose sums by cell are added in float32 begin where four of a block's do", () => {
  const geometry = { n: 100_000, r: 1, g: 1, k: 9001, s: 1 };
  const options = { eps: 1e-5, measure: "deviation", parameters: true, rows: false, weighted: true } as const;
  const plan = planBackward(geometry, { ...options, dtype: DTYPE, statistics: "moments", givenSums: false });
  const phase = phasesOfPlan(plan).find(({ kind }) => kind === "differentiate");
  if (phase?.kind !== "differentiate") throw new Error("expected a phase that differentiates");
  expect(phase.together).toBe(4);
  for (const tileBytes of [FEW, MANY]) {
    const starts = [...tilesOf(phase, { dtype: DTYPE, tileBytes }, 0, phase.units)].map(({ at }) => at / 9001);
    expect(starts.length).toBeGreaterThan(2 * phase.units);
    for (const row of starts) expect((row % phase.setsPerUnit) % 4).toBe(0);
  }
});

test("tiles leave room in the pool's memory, whatever the number of threads", () => {
  for (const seats of [2, 5, 17, 65, 256]) {
    for (const memory of [2 ** 20, 2 ** 24, 2 ** 26, 2 ** 30, 2 ** 32]) {
      const { cells, columns } = tileBytesFor(seats, memory);
      // Never less than any call is better with.
      if (cells > 262_144) expect(3 * seats * cells).toBeLessThanOrEqual(memory / 4);
      else expect(cells).toBe(262_144);
      if (columns > 2_097_152) expect(2 * seats * columns).toBeLessThanOrEqual(memory / 4);
      else expect(columns).toBe(2_097_152);
      expect([cells <= 1_048_576, columns <= 8_388_608]).toEqual([true, true]);
    }
  }
  expect(tileBytesFor(3, 2 ** 32)).toEqual({ cells: 1_048_576, columns: 8_388_608 });
});

test("a wrapped tensor needs no more of a small pool's memory than tiles of 256 KiB take", async () => {
  await using small = new NormPool({ threads: 2, maxMemory: 4 << 20 });
  const data = new Float32Array(new SharedArrayBuffer(16 << 20));
  const wrapped = small.wrap(data, [4096, 1024]);
  await small.forward(new LayerNorm(1024), wrapped, { out: wrapped });
  expect(small.stats().memoryPeak).toBeLessThanOrEqual(4 << 20);
});
