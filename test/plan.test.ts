import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mergeMoments, mergeSegments, type SetMoments } from "../src/merge/moments.js";
import { ofMoments } from "../src/merge/statistics.js";
import { fillTable } from "../src/merge/tables.js";
import { planForward } from "../src/plan/forward.js";
import {
  batchNormGeometry,
  type ChannelView,
  cellsPerSet,
  type Geometry,
  groupNormGeometry,
  instanceNormGeometry,
  layerNormGeometry,
  setCount,
} from "../src/plan/geometry.js";
import { gridOf, SEGMENT_CELLS, segmentsOf } from "../src/plan/grid.js";
import { entriesPerSample, TABLE_FIELDS } from "../src/plan/phase.js";
import { phasesOf } from "../src/plan/plan.js";
import { sliceCount, slicesOf } from "../src/plan/slices.js";

const size = (max: number) => fc.integer({ min: 1, max });
const geometries: fc.Arbitrary<Geometry> = fc.oneof(
  fc.tuple(size(300), size(70_000)).map(([n, d]) => layerNormGeometry(n, d)),
  fc.tuple(size(9), size(9), size(9), size(70_000)).map(([n, g, k, s]) => groupNormGeometry(view(n, g * k, s), g)),
  fc.tuple(size(20), size(20), size(70_000)).map(([n, c, s]) => instanceNormGeometry(view(n, c, s))),
  fc.tuple(size(2000), size(20), size(70_000)).map(([n, c, s]) => batchNormGeometry(view(n, c, s))),
  fc
    .tuple(size(9), size(9), size(9), size(3000), size(40))
    .map(([n, g, k, before, s]) => groupNormGeometry({ n, before, c: g * k, after: s }, g)),
);

function view(n: number, c: number, after: number): ChannelView {
  return { n, before: 1, c, after };
}

const options = fc.record({
  dtype: fc.constant("float32" as const),
  affine: fc.constantFrom("none" as const, "channel" as const),
  statistics: fc.constant("own" as const),
  eps: fc.constant(1e-5),
  measure: fc.constantFrom("deviation" as const, "rootMeanSquare" as const, "length" as const),
  wanted: fc.boolean(),
});

describe("a plan", () => {
  test("has slices that cover every unit once, and a table and segments that cover every set", () => {
    fc.assert(
      fc.property(geometries, options, (whole, given) => {
        const plan = planForward(whole, given);
        const { geometry } = plan;
        for (const phase of phasesOf(plan)) {
          const slices = slicesOf(phase);
          expect(slices).toMatchObject({ from: 0, to: phase.units });
          expect(slices.perSlice).toBeGreaterThanOrEqual(1);
          expect((sliceCount(slices) - 1) * slices.perSlice).toBeLessThan(phase.units);
          expect(sliceCount(slices) * slices.perSlice).toBeGreaterThanOrEqual(phase.units);
          if (phase.kind === "moments") {
            // The counts of a set's segments add up to its cells.
            const grid = gridOf(phase, geometry.r, geometry.g);
            let cells = 0;
            for (let block = 0; block < grid.blocks; block++) {
              for (let part = 0; part < grid.parts; part++) cells += grid.cells(block, part);
            }
            expect(cells).toBe(cellsPerSet(whole));
            expect(segmentsOf(phase)).toBe(geometry.n * grid.blocks * grid.lanes * grid.parts);
          }
          if (phase.kind === "apply") {
            // Each entry is filled once, with its own set's mean.
            const perSample = entriesPerSample(phase);
            const count = geometry.n * perSample;
            const sets = setCount(geometry);
            const moments = {
              count: 1,
              mean: Float64Array.from({ length: sets }, (_, set) => set),
              m2: new Float64Array(sets),
            };
            const table = new Float64Array(TABLE_FIELDS.apply * count).fill(-1);
            const half = Math.floor(count / 2);
            for (const [from, to] of [
              [half, count],
              [0, half],
            ] as const) {
              const statistics = { ...ofMoments(moments, 0, 1, "deviation"), folded: false };
              fillTable(phase, geometry, statistics, null, table, from, to);
            }
            const perSet = perSample / geometry.g;
            for (let entry = 0; entry < count; entry += 1 + Math.floor(count / 100)) {
              const [sample, inSample] = [Math.floor(entry / perSample), entry % perSample];
              const byColumn = phase.layout === "columns";
              const at = byColumn ? sample * TABLE_FIELDS.apply * perSample + inSample : entry * TABLE_FIELDS.apply;
              expect(table[at]).toBe(sample * geometry.g + Math.floor(inSample / perSet));
            }
            expect(table.includes(-1)).toBe(false);
          }
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test("keeps every segment within SEGMENT_CELLS", () => {
    fc.assert(
      fc.property(geometries, options, (geometry, given) => {
        for (const phase of phasesOf(planForward(geometry, given))) {
          if (phase.kind !== "moments") continue;
          if (phase.layout === "runs") expect(phase.perSegment * phase.length).toBeLessThanOrEqual(SEGMENT_CELLS);
          if (phase.layout === "columns") expect(phase.perSegment).toBeLessThanOrEqual(SEGMENT_CELLS);
        }
      }),
      { seed: 2, numRuns: 300 },
    );
  });
});

describe("mergeSegments", () => {
  const SEGMENTS = 2 * 3 * 2 * 4; // samples, blocks, lanes, parts
  const grid = {
    blocks: 3,
    lanes: 2,
    parts: 4,
    cells: (block: number, part: number) => (block < 2 && part < 3 ? 5 : 2),
  };
  const partials = Float64Array.from({ length: 2 * SEGMENTS }, (_, i) => Math.sin(i) ** 2);

  function merged(cuts: readonly number[]): Float64Array {
    const moments = new Float64Array(2 * 2 * 2).fill(Number.NaN);
    const ends = [0, ...cuts, SEGMENTS];
    for (let i = 0; i + 1 < ends.length; i++) {
      const [from, to] = [ends[i] as number, ends[i + 1] as number];
      mergeSegments(grid, partials.subarray(2 * from), moments, from, to);
    }
    return moments;
  }

  test("has the same bits wherever it is cut", () => {
    const whole = merged([]);
    for (let cut = 1; cut < SEGMENTS; cut++) expect(merged([cut])).toEqual(whole);
    expect(merged(Array.from({ length: SEGMENTS - 1 }, (_, i) => i + 1))).toEqual(whole);
  });
});

describe("mergeMoments", () => {
  /** Of one set. */
  function momentsOf(values: readonly number[]): SetMoments {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const m2 = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    return { count: values.length, mean: Float64Array.of(mean), m2: Float64Array.of(m2) };
  }

  test("of parts is the moments of the whole, wherever it is cut", () => {
    const part = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const merged = mergeMoments(parts.map(momentsOf));
        const whole = momentsOf(parts.flat());
        expect(merged.count).toBe(whole.count);
        expect(merged.mean[0]).toBeCloseTo(whole.mean[0] as number, 9);
        expect(merged.m2[0]).toBeCloseTo(whole.m2[0] as number, 5);
      }),
      { seed: 1 },
    );
  });

  test("with an empty part is the other", () => {
    const empty = { count: 0, mean: new Float64Array(1), m2: new Float64Array(1) };
    const some = momentsOf([1, 2, 4]);
    expect(mergeMoments([empty, some])).toEqual(some);
    expect(mergeMoments([some, empty])).toEqual(some);
  });
});
