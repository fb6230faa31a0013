// Phase `moments`: {mean, M2} of each segment, where its cells are runs. Where they are columns: moments-columns.ts.
import { inputAt, isHalf, loadedRows, converted } from "./cells";
import { LONG_RUN, SEGMENT } from "./constants";
import { momentsOfHalves } from "./halves";
import { bytesOf, loadCell } from "./lanes";
import { momentsAt } from "./moments";
import { endMerge, mergeSegment, startMerge } from "./merge";
import { addExact, betterPivot, finish, m2, mean, pivotFrom, setCentred, setSums } from "./segment-moments";

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

@inline
function momentsRuns<A>(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, rows: usize, perSegment: usize,
): void {
  setCentred(true);
  const stride = groups * length;
  const blocks = (rows + perSegment - 1) / perSegment;
  for (let unit = first; unit < first + count; unit++) {
    const group = unit % groups, sample = unit / groups / blocks, row = (unit / groups % blocks) * perSegment;
    const runs = min(perSegment, rows - row);
    let at = (sample * rows + row) * stride + group * length;
    if (length >= LONG_RUN) {
      startMerge();
      for (let i: usize = 0; i < runs; i++, at += stride) {
        if (isHalf()) momentsOfHalves(inputAt(x, at), length);
        else momentsAt<A>(inputAt(x, at), length);
        mergeSegment(<f64>length);
      }
      endMerge();
    } else {
      let run = inputAt(x, at), step = bytesOf<A>(stride);
      if (converted()) {
        run = loadedRows(run, runs, length, stride);
        step = bytesOf<A>(length);
      }
      let pivot = pivotFrom(loadCell<A>(run));
      addRuns<A>(run, runs, step, length, pivot);
      if (sizeof<A>() == 8) {
        const better = betterPivot(<f64>(runs * length), pivot);
        if (better != pivot) {
          pivot = better;
          addRuns<A>(run, runs, step, length, pivot);
        }
      }
      finish(<f64>(runs * length), pivot);
    }
    putMoments(partials, unit);
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
