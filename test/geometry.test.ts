// The picture itself, against the definitions of the layers written out cell by cell.
import { describe, expect, test } from "vitest";
import {
  affineCount,
  affineIndexOf,
  batchNormGeometry,
  cellCount,
  cellsPerSet,
  type Geometry,
  groupNormGeometry,
  instanceNormGeometry,
  layerNormGeometry,
  setCount,
  setOf,
} from "../src/plan/geometry.js";

const N = 3;
const C = 6;
const S = 5;
const GROUPS = 2;
const PER_GROUP = C / GROUPS;

const VIEW = { n: N, before: 1, c: C, after: S };

const CASES: [string, Geometry, (n: number, c: number, s: number) => { set: number; affine: number }][] = [
  ["LayerNorm over C and S", layerNormGeometry(N, C * S), (n, c, s) => ({ set: n, affine: c * S + s })],
  ["LayerNorm over S", layerNormGeometry(N * C, S), (n, c, s) => ({ set: n * C + c, affine: s })],
  [
    "GroupNorm",
    groupNormGeometry(VIEW, GROUPS),
    (n, c) => ({ set: n * GROUPS + Math.floor(c / PER_GROUP), affine: c }),
  ],
  ["InstanceNorm", instanceNormGeometry(VIEW), (n, c) => ({ set: n * C + c, affine: c })],
  ["BatchNorm", batchNormGeometry(VIEW), (_, c) => ({ set: c, affine: c })],
];

describe.each(CASES)("%s", (_, geometry, definition) => {
  test("every cell is in the set and takes the weight that the layer's definition says", () => {
    for (let n = 0; n < N; n++) {
      for (let c = 0; c < C; c++) {
        for (let s = 0; s < S; s++) {
          const index = (n * C + c) * S + s;
          expect({ set: setOf(geometry, index), affine: affineIndexOf(geometry, index) }).toEqual(definition(n, c, s));
        }
      }
    }
  });

  test("the sets divide the cells evenly", () => {
    const sizes = new Map<number, number>();
    const affines = new Set<number>();
    for (let i = 0; i < cellCount(geometry); i++) {
      sizes.set(setOf(geometry, i), (sizes.get(setOf(geometry, i)) ?? 0) + 1);
      affines.add(affineIndexOf(geometry, i));
    }
    expect(cellCount(geometry)).toBe(N * C * S);
    expect(sizes.size).toBe(setCount(geometry));
    expect(new Set(sizes.values())).toEqual(new Set([cellsPerSet(geometry)]));
    expect(affines.size).toBe(affineCount(geometry));
  });
});
