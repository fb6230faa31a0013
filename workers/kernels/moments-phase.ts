// Phase `moments`: {mean, M2} of each segment, in the three ways that a set's cells may lie.
import { LONG_RUN, SEGMENT, SWEEP } from "./constants";
import { loadPair } from "./lanes";
import { endMerge, mergeSegment, startMerge } from "./merge";
import { finish, pivotFrom, m2, mean, momentsF32Segment, setCentred, setSums, sumsF32Exact } from "./moments";

/**
 * Phase `moments`, layout `sets`: segments [first, first + count) in memory order of sets of `length` consecutive cells.
 * Writes {mean, M2} as two float64 at partials + 16 * segment; not centred, mean is 0. One read.
 */
export function momentsF32Sets(
  x: usize, partials: usize, first: usize, count: usize, length: usize, centred: bool,
): void {
  setCentred(centred);
  const perSet = (length + SEGMENT - 1) / SEGMENT;
  for (let unit = first; unit < first + count; unit++) {
    const set = unit / perSet, start = (unit % perSet) * SEGMENT;
    momentsF32Segment(x + ((set * length + start) << 2), min(SEGMENT, length - start));
    store<f64>(partials + (unit << 4), mean);
    store<f64>(partials + (unit << 4), m2, 8);
  }
}

/**
 * Phase `moments`, layout `runs`: a segment is `perSegment` runs of `length` cells, one from each sample, of one of `groups`
 * channels: segment = block * groups + group. `samples` may leave the last block short. {mean, M2} as above. One read.
 */
export function momentsF32Runs(
  x: usize, partials: usize, first: usize, count: usize, length: usize, groups: usize, samples: usize, perSegment: usize,
): void {
  setCentred(true);
  const stride = (groups * length) << 2;
  for (let unit = first; unit < first + count; unit++) {
    const group = unit % groups, sample = (unit / groups) * perSegment;
    const runs = min(perSegment, samples - sample);
    let run = x + sample * stride + ((group * length) << 2);
    if (length >= LONG_RUN) {
      startMerge();
      for (let i: usize = 0; i < runs; i++, run += stride) {
        momentsF32Segment(run, length);
        mergeSegment(<f64>length);
      }
      endMerge();
    } else {
      setSums(0, 0);
      const pivot = pivotFrom(<f64>load<f32>(run));
      for (let i: usize = 0; i < runs; i++, run += stride) sumsF32Exact(run, length, pivot);
      finish(<f64>(runs * length), pivot);
    }
    store<f64>(partials + (unit << 4), mean);
    store<f64>(partials + (unit << 4), m2, 8);
  }
}

/** As pivotFrom, for two lanes. */
@inline
function finiteLanes(v: v128): v128 {
  return v128.and(v, f64x2.eq(f64x2.sub(v, v), f64x2.splat(0)));
}

/**
 * Moments of each of `width` columns over `rows` rows that lie `stride` cells apart, by the exact way, the first row as pivot.
 * {mean, M2} of column c at partials + 16 * c; the sums are kept there until the last row is in. One read.
 */
export function momentsF32Columns(x: usize, partials: usize, rows: usize, width: usize, stride: usize): void {
  setCentred(true);
  memory.fill(partials, 0, width << 4);
  const step = stride << 2;
  const even = width & ~1;
  for (let row: usize = 0; row < rows; row += SWEEP) {
    const top = x + row * step;
    const bottom = top + min(SWEEP, rows - row) * step;
    for (let c: usize = 0; c < even; c += 2) {
      const p = finiteLanes(loadPair(x + (c << 2)));
      const out = partials + (c << 4);
      const a = v128.load(out), b = v128.load(out, 16); // (sum, squares) of the two columns
      let s = i64x2.shuffle(a, b, 0, 2), q = i64x2.shuffle(a, b, 1, 3);
      for (let cell = top + (c << 2), end = bottom + (c << 2); cell < end; cell += step) {
        const d = f64x2.sub(loadPair(cell), p);
        s = f64x2.add(s, d);
        q = f64x2.add(q, f64x2.mul(d, d));
      }
      v128.store(out, i64x2.shuffle(s, q, 0, 2));
      v128.store(out, i64x2.shuffle(s, q, 1, 3), 16);
    }
    if (even < width) {
      const out = partials + (even << 4);
      const p = pivotFrom(<f64>load<f32>(x + (even << 2)));
      let s = load<f64>(out), q = load<f64>(out, 8);
      for (let cell = top + (even << 2), end = bottom + (even << 2); cell < end; cell += step) {
        const d = <f64>load<f32>(cell) - p;
        s += d;
        q += d * d;
      }
      store<f64>(out, s);
      store<f64>(out, q, 8);
    }
  }
  for (let c: usize = 0; c < width; c++) {
    const out = partials + (c << 4);
    setSums(load<f64>(out), load<f64>(out, 8));
    finish(<f64>rows, pivotFrom(<f64>load<f32>(x + (c << 2))));
    store<f64>(out, mean);
    store<f64>(out, m2, 8);
  }
}
