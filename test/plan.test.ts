import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  affineCount,
  batchNormGeometry,
  type ChannelView,
  cellsPerSet,
  type Geometry,
  groupNormGeometry,
  instanceNormGeometry,
  layerNormGeometry,
  setCount,
} from "../src/geometry.js";
import { mergeMoments, mergePartials, partialNumbers, type SetMoments } from "../src/moments.js";
import { makePlan } from "../src/plan.js";
import { SEGMENT_CELLS, sliceCount } from "../src/protocol.js";
import { eachEntry, entriesPerSample } from "../src/statistics.js";

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
  affine: fc.boolean(),
  givenStatistics: fc.constant(false),
  eps: fc.constant(1e-5),
  centred: fc.boolean(),
});

describe("a plan", () => {
  test("has slices that cover every unit once, and a table and partials that cover every set", () => {
    fc.assert(
      fc.property(geometries, options, (geometry, given) => {
        const { phases, geometry: seen } = makePlan(geometry, given);
        const list = "normalize" in phases ? [phases.normalize] : [phases.moments, phases.apply];
        for (const phase of list) {
          if (phase === undefined) continue;
          expect(phase.unitsPerSlice).toBeGreaterThanOrEqual(1);
          expect((sliceCount(phase) - 1) * phase.unitsPerSlice).toBeLessThan(phase.units);
          expect(sliceCount(phase) * phase.unitsPerSlice).toBeGreaterThanOrEqual(phase.units);
        }
        if ("normalize" in phases) return;
        const entries = new Set<number>();
        eachEntry(phases.apply, seen, 3, (at, _, set, affine) => {
          entries.add(at);
          expect(set).toBeLessThan(setCount(seen));
          expect(affine).toBeLessThan(affineCount(seen));
        });
        expect(entries.size).toBe(seen.n * entriesPerSample(phases.apply));
        if (phases.moments === undefined) return;
        // The counts of a set's segments add up to its cells.
        const partials = new Float64Array(partialNumbers(phases.moments, seen.n));
        expect(mergePartials(phases.moments, seen, partials).count).toBe(cellsPerSet(geometry));
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test("keeps every segment within SEGMENT_CELLS", () => {
    fc.assert(
      fc.property(geometries, options, (geometry, given) => {
        const { phases } = makePlan(geometry, given);
        if ("normalize" in phases || phases.moments === undefined) return;
        const { moments } = phases;
        if (moments.layout === "runs") expect(moments.perSegment * moments.length).toBeLessThanOrEqual(SEGMENT_CELLS);
        if (moments.layout === "columns") expect(moments.perSegment).toBeLessThanOrEqual(SEGMENT_CELLS);
      }),
      { seed: 2, numRuns: 300 },
    );
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
