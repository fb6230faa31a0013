// The shapes whose results are held against float64, beside those of accuracy.test.ts: about every size at which the machinery does
// something else. One less, as many and one more than a lane (8), a sweep over columns (16), what columns are summed in float32 from (64), what rows are (256), the
// shortest segment of columns and a tile of them (512), long runs (1024), a segment (16,384), the largest set that one worker takes (262,144).
import { NARROW } from "../src/plan/phase.js";
import {
  axisNormCase,
  batchNormCase,
  groupNormCase,
  instanceNormCase,
  type LayerCase,
  layerNormCase,
  rmsNormCase,
  unitNormCase,
} from "./layer-cases.js";

const about = (size: number) => [size - 1, size, size + 1];

/** Each small enough to be held against float64 for every dtype and mean. */
export function smallCases(affine: boolean): readonly LayerCase[] {
  const options = { affine };
  const last = { affine, channelAxis: -1 };
  return [
    ...[...about(8), ...about(64), ...about(256), ...about(1024)].map((d) => layerNormCase([13], [d], options)),
    layerNormCase([700], [33], options),
    ...about(8192).map((d) => layerNormCase([2], [d], options)),
    ...about(16_384).map((d) => layerNormCase([2], [d], options)),
    ...[...about(16), ...about(64), ...about(512), 1025].map((c) => axisNormCase([3, c, 9], 1, options)),
    ...[1, 2, 3, ...about(16), 300, ...about(512)].map((s) => axisNormCase([3, 40, s], 1, options)),
    ...about(16_384).map((s) => axisNormCase([2, 3, s], 1, options)),
    axisNormCase([5, 7, 3, 11], -2, options),
    axisNormCase([5, 3001], 0, options),
    ...[...about(64), ...about(256), 1000].map((d) => rmsNormCase([13], [d], options)),
    rmsNormCase([2], [16_385], options),
    ...(affine ? [] : [7, 255, 768, 16_385].map((d) => unitNormCase([13], [d]))),
    ...[...about(16), 300, 1025].map((s) => groupNormCase(2, [3, 6, s], options)),
    ...[...about(16), ...about(64), ...about(512)].map((rows) => groupNormCase(2, [2, rows, 6], last)),
    ...[...about(16), 300, ...about(1024)].map((c) => groupNormCase(2, [2, 11, 2 * c], last)),
    ...about(16_384).map((c) => groupNormCase(1, [1, 2, c], last)),
    ...[...about(16), 99, 1025].map((s) => groupNormCase(2, [2, 7, 4, s], { affine, channelAxis: 2 })),
    instanceNormCase([2, 3, 40, 41], options),
    instanceNormCase([2, 3, 5, 7, 31], options),
    instanceNormCase([2, 9, 11, 7, 5], last),
    instanceNormCase([1, 70, 513], last),
    instanceNormCase([2, 31, 5, 33], { affine, channelAxis: 2 }),
    ...[...about(16), ...about(64), ...about(512), 1025].map((rows) => batchNormCase([rows, 11], options)),
    ...about(512).map((c) => batchNormCase([65, c], options)),
    batchNormCase([333, 5, 3], options),
    batchNormCase([50, 3, 7, 7], options),
    // Runs of channels side by side, and how many are summed together.
    ...about(32).map((c) => batchNormCase([9, c, 17], options)),
    batchNormCase([5, 33, 1000], options),
    batchNormCase([17, 2, 33, 32], options),
    batchNormCase([2, 2, 4, 63, 65], options),
    batchNormCase([2, 2, 16_385], options),
    batchNormCase([3, 21, 31, 5], last),
    // Rows of few columns are taken many at a time.
    ...[1, 3, 5, 31, 63].flatMap((c) =>
      about(8 * Math.ceil(8 / c)).map((rows) => instanceNormCase([2, rows, c], last)),
    ),
    ...about(NARROW).map((c) => batchNormCase([2, 50, c], last)),
    batchNormCase([2, 5600, 3], last),
    batchNormCase([5, 3001], { affine, channelAxis: 0 }),
    batchNormCase([9, 7, 5, 33], { affine, channelAxis: 2 }),
    batchNormCase([41, 5, 77], { affine, sync: true }),
  ];
}

/** Sets that several threads share, and columns of segments of any length. */
export const LARGE_CASES: readonly LayerCase[] = [
  layerNormCase([1], [262_144]),
  layerNormCase([1], [262_145]),
  axisNormCase([1, 90_001, 3], 1),
  axisNormCase([1, 3, 90_001], 1),
  rmsNormCase([1], [262_147]),
  unitNormCase([1], [262_149]),
  groupNormCase(1, [1, 2, 131_073]),
  groupNormCase(1, [1, 87_383, 3]),
  groupNormCase(1, [1, 60_001, 5], { channelAxis: -1 }),
  groupNormCase(2, [1, 3001, 80], { channelAxis: -1 }),
  batchNormCase([270_000, 1]),
  batchNormCase([40_001, 5]),
];
