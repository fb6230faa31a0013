// Phase `moments`: {mean, M2} of each segment, where its cells are runs. Where they are columns: moments-columns.ts.
import { columnsRoom, inputAt, isHalf, loaded } from "./cells";
import { LONG_RUN, SEGMENT, SIDE_BY_SIDE } from "./constants";
import { momentsOfHalves } from "./halves";
import { bytesOf, loadCell } from "./lanes";
import { momentsAt } from "./moments";
import { endMerge, mergeSegment, startMerge } from "./merge";
import { addExact, betterPivot, finish, m2, mean, pivotFrom, setCentred, setSums, squares, sum } from "./segment-moments";

@inline
export function putMoments(partials: usize, segment: usize): void {
  store<f64>(partials + (segment << 4), mean);
  store<f64>(partials + (segment << 4), m2, 8);
}

@inline
function momentsStretches<A>(x: usize, partials: usize, first: usize, count: usize, length: usize, centred: bool): void {
  setCentred(centred);
  const perSet = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const set = unit / perSet, start = (unit % perSet) * SEGMENT;
    const cells = min(SEGMENT, length - start);
    const at = inputAt(x, set * length + start);
    if (isHalf()) momentsOfHalves(at, cells);
    else momentsAt<A>(at, cells);
    putMoments(partials, unit);
  }
}

/**
 * Phase `moments`, layout `sets`: segments [first, first + count) in memory order of stretches of `length` consecutive cells.
 * Writes {mean, M2} as two float64 at partials + 16 * segment; not centred, mean is 0. One read.
 */
export function momentsF32Stretches(
  x: usize, partials: usize, first: usize, count: usize, length: usize, centred: bool,
): void {
  momentsStretches<f32>(x, partials, first, count, length, centred);
}

/** As momentsF32Stretches, of float64 cells. */
export function momentsF64Stretches(
  x: usize, partials: usize, first: usize, count: usize, length: usize, centred: bool,
): void {
  momentsStretches<f64>(x, partials, first, count, length, centred);
}

/** Sums of `runs` runs of `length` cells, `step` bytes apart. */
@inline
function addRuns<A>(run: usize, runs: usize, step: usize, length: usize, pivot: f64): void {
  setSums(0, 0);
  for (let i: usize = 0; i < runs; i++, run += step) addExact<A>(run, length, pivot);
}

/**
 * Moments of `many` segments of `runs` runs each, which lie side by side in rows `stride` cells apart from cell `at` on. Row by row, as memory is read
 * fastest: the segments' sums are in `partials` meanwhile, and their pivots in the stage.
 */
@inline
function momentsSideBySide<A>(x: usize, partials: usize, at: usize, many: usize, runs: usize, length: usize, stride: usize): void {
  const pivots = columnsRoom(), bytes = bytesOf<A>(length), n = <f64>(runs * length);
  for (let row: usize = 0; row < runs; row++) {
    let run = loaded(inputAt(x, at + row * stride), many * length);
    for (let pivot = pivots, sums = partials, end = partials + (many << 4); sums < end; sums += 16, pivot += 8, run += bytes) {
      if (row == 0) {
        store<f64>(pivot, pivotFrom(loadCell<A>(run)));
        setSums(0, 0);
      } else setSums(load<f64>(sums), load<f64>(sums, 8));
      addExact<A>(run, length, load<f64>(pivot));
      store<f64>(sums, sum);
      store<f64>(sums, squares, 8);
    }
  }
  for (let i: usize = 0; i < many; i++) {
    let pivot = load<f64>(pivots + (i << 3));
    setSums(load<f64>(partials + (i << 4)), load<f64>(partials + (i << 4), 8));
    if (sizeof<A>() == 8) {
      const better = betterPivot(n, pivot);
      if (better != pivot) {
        pivot = better;
        addRuns<A>(inputAt(x, at + i * length), runs, bytesOf<A>(stride), length, pivot);
      }
    }
    finish(n, pivot);
    putMoments(partials, i);
  }
}

@inline
function momentsRuns<A>(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, rows: usize, perSegment: usize,
): void {
  setCentred(true);
  const stride = groups * length, most = min(SIDE_BY_SIDE, SEGMENT / length);
  const blocks = (rows + perSegment - 1) / perSegment;
  for (let unit = first, end = first + count; unit < end; ) {
    const group = unit % groups, sample = unit / groups / blocks, row = (unit / groups % blocks) * perSegment;
    const runs = min(perSegment, rows - row);
    let at = (sample * rows + row) * stride + group * length;
    if (length < LONG_RUN) {
      const many = min(most, min(end - unit, groups - group));
      momentsSideBySide<A>(x, partials + (unit << 4), at, many, runs, length, stride);
      unit += many;
      continue;
    }
    startMerge();
    for (let i: usize = 0; i < runs; i++, at += stride) {
      if (isHalf()) momentsOfHalves(inputAt(x, at), length);
      else momentsAt<A>(inputAt(x, at), length);
      mergeSegment(<f64>length);
    }
    endMerge();
    putMoments(partials, unit++);
  }
}

/**
 * Phase `moments`, layout `runs`: a segment is `perSegment` runs of `length` cells, one from each of a sample's rows, of one of
 * `groups` groups: segment = (sample * blocks + block) * groups + group. `rows` may leave a sample's last block short.
 * {mean, M2} as above. One read.
 */
export function momentsF32Runs(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, rows: usize, perSegment: usize,
): void {
  momentsRuns<f32>(x, partials, first, count, length, groups, rows, perSegment);
}

/** As momentsF32Runs, of float64 cells. */
export function momentsF64Runs(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, rows: usize, perSegment: usize,
): void {
  momentsRuns<f64>(x, partials, first, count, length, groups, rows, perSegment);
}
