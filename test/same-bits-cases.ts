// What the tests of the same bits compute: every layer in every layout, large enough for several slices, which together need every phase.
import type { Dtype, Layer } from "../src/index.js";
import { type Cells, normalCells } from "./cells.js";
import {
  axisNormCase,
  batchNormCase,
  groupNormCase,
  instanceNormCase,
  type LayerCase,
  layerNormCase,
  localResponseNormCase,
  rmsNormCase,
  unitNormCase,
} from "./layer-cases.js";

/** The cases by why they are there. */
export const CASES: readonly (readonly [why: string, layerCase: LayerCase])[] = [
  ["rows of a few blocks", layerNormCase([301], [1000])],
  ["rows, nothing but statistics to apply", layerNormCase([301], [1000], { affine: false })],
  ["short rows", layerNormCase([5003], [17])],
  ["rows of several segments", layerNormCase([7], [40_001])],
  ["rows that several threads share", layerNormCase([2], [270_001])],
  ["rows that several threads share, as one run", layerNormCase([1], [400_003], { affine: false })],
  ["columns of channels of an image", axisNormCase([5, 96, 14, 14], 1)],
  ["columns of many channels, of several segments", axisNormCase([2, 5003, 37], 1)],
  ["columns of few channels, each row of several segments", axisNormCase([2, 3, 181, 211], 1)],
  ["columns, nothing but statistics to apply", axisNormCase([5, 96, 14, 14], 1, { affine: false })],
  ["columns of little space", axisNormCase([301, 40, 3], -2)],
  ["columns along the first axis", axisNormCase([33, 7001], 0)],
  ["rows that need no mean", rmsNormCase([301], [1000])],
  ["rows that need no mean and that several threads share", rmsNormCase([1], [270_001])],
  ["rows to unit length", unitNormCase([301], [1000])],
  ["rows to unit length that several threads share", unitNormCase([2], [270_001])],
  ["runs of space", groupNormCase(3, [5, 6, 77, 31])],
  ["a group that several threads share", groupNormCase(1, [1, 6, 299, 151])],
  ["a group of channels with little space", groupNormCase(2, [900, 6, 5])],
  ["a group of channels with little space that several threads share", groupNormCase(1, [1, 90_011, 3])],
  ["few channels last", groupNormCase(4, [2, 120, 41, 12], { channelAxis: -1 })],
  ["many channels last", groupNormCase(2, [3, 900, 80], { channelAxis: -1 })],
  ["groups of a long run of channels last", groupNormCase(2, [2, 30, 4096], { channelAxis: -1 })],
  ["groups of more than a segment of channels last", groupNormCase(1, [2, 5, 20_000], { channelAxis: -1 })],
  ["channels in the middle", groupNormCase(2, [3, 151, 6, 40], { channelAxis: 2 })],
  ["channels in the middle before more than a segment", groupNormCase(1, [2, 4, 2, 17_000], { channelAxis: 2 })],
  ["a channel of each sample", instanceNormCase([4, 5, 131, 127])],
  ["a channel that several threads share", instanceNormCase([1, 1, 400_003])],
  ["a few channels last of each sample", instanceNormCase([2, 9, 110, 11, 7], { channelAxis: -1 })],
  ["many channels last of each sample", instanceNormCase([2, 530, 600], { channelAxis: -1 })],
  ["channels in the middle of each sample", instanceNormCase([2, 99, 5, 200], { channelAxis: 2 })],
  ["planes of several segments", batchNormCase([3, 3, 181, 181])],
  ["planes of a long run", batchNormCase([31, 3, 40, 41])],
  ["small planes", batchNormCase([301, 19, 7, 7])],
  ["small planes of more channels than are summed side by side", batchNormCase([120, 70, 7, 7])],
  ["runs of which few are a segment", batchNormCase([35, 40, 1000])],
  ["small volumes, nothing but statistics to apply", batchNormCase([301, 9, 3, 3, 5], { affine: false })],
  ["a column for each channel", batchNormCase([1100, 530])],
  ["long columns", batchNormCase([40_001, 7])],
  ["columns of little space", batchNormCase([1500, 70, 3])],
  ["channels last, of the whole batch", batchNormCase([4, 90, 31, 12], { channelAxis: -1 })],
  ["channels before all else", batchNormCase([5, 30_011], { channelAxis: 0 })],
  ["running statistics of planes", batchNormCase([3, 3, 181, 181], { runningMean: 1 })],
  ["running statistics of columns", batchNormCase([1100, 130], { runningMean: 1 })],
  [
    "running statistics of volumes, channels last",
    batchNormCase([4, 9, 10, 31, 12], { channelAxis: -1, runningMean: 1 }),
  ],
  ["running statistics of each sample", instanceNormCase([9, 5, 61, 127], { runningMean: 1 })],
  ["neighbouring channels, to the power that is a root", localResponseNormCase(5, [5, 20, 37, 51])],
  ["neighbouring channels, to a power", localResponseNormCase(4, [5, 33, 777], 0.6)],
];

/** Parts of batches, whose moments come from elsewhere. */
export const PARTS: readonly (readonly [why: string, layerCase: LayerCase])[] = [
  ["a part of a batch in planes of several segments", batchNormCase([3, 3, 181, 181], { sync: true })],
  ["a part of a batch in small planes", batchNormCase([301, 19, 7, 7], { sync: true })],
  ["a part of a batch in columns", batchNormCase([1100, 130], { sync: true })],
  ["a part of a batch, channels before all else", batchNormCase([5, 30_011], { sync: true, channelAxis: 0 })],
];

/** The case's cells, about 3; of uint8 about 128. */
export function inputOf({ shape }: LayerCase, dtype: Dtype, seed = 11): Cells {
  return normalCells(
    dtype,
    shape.reduce((a, b) => a * b, 1),
    seed,
    dtype === "uint8" ? 128 : 3,
  );
}

/** A layer with the case's parameters, for cells of the dtype. */
export function layerFor(layerCase: LayerCase, dtype: Dtype): Layer {
  return layerCase.make(dtype === "float64" ? "float64" : "float32");
}

/** Moments such as a batch of twice the part's cells may have. */
export function momentsOfBatch({ shape, channelAxis = 1 }: LayerCase) {
  const channels = shape.at(channelAxis) as number;
  const count = (2 * shape.reduce((a, b) => a * b, 1)) / channels;
  return {
    count,
    mean: Float64Array.from({ length: channels }, (_, c) => 3 + 0.1 * Math.sin(c)),
    m2: Float64Array.from({ length: channels }, (_, c) => count * (1 + 0.1 * Math.cos(c))),
  };
}
