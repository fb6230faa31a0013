// Phase `normalize`: moments and apply of sets of consecutive cells, each set read from memory once: it is in the cache still when it is applied.
import { applyCells, applyF32Weighted, applyF64Run } from "./apply";
import { applyBytes, applyBytesCells, isBytes, momentsOfBytes } from "./bytes";
import { converted, finished, inputAt, loaded, outputAt, stored, target } from "./cells";
import { BFLOAT16, FLOAT16, SEGMENT } from "./constants";
import { normalizeHalves, takesHalves } from "./halves";
import { bytesOf, freeScratch } from "./lanes";
import { momentsSet } from "./moments";
import { m2, mean, momentsSegment } from "./segment-moments";
import { isAnySpecial, rstdOf, setMeasure, settle } from "./statistics";

/** Bytes of the sets whose moments are taken together before the first of them is applied, and how many there may be. */
const TOGETHER_BYTES: usize = 4096;
const MOST_TOGETHER: usize = 10;

// Where a function of a type parameter S finds cells to compute on: where they lie, as float32 or float64 or as uint8, or converted, in the stage.
type Direct = u8;
type Bytes = u16;
type Staged = u32;

@inline
function isStaged<S>(): bool {
  return sizeof<S>() == sizeof<Staged>();
}

@inline
function areBytes<S>(): bool {
  return sizeof<S>() == sizeof<Bytes>();
}

/** n cells of x from `index` on. */
@inline
function cellsOf<A, S>(x: usize, index: usize, n: usize): usize {
  if (isStaged<S>()) return loaded(inputAt(x, index), n);
  return areBytes<S>() ? x + index : x + bytesOf<A>(index);
}

/** (x - mean) * rstd * weight + bias of n cells. */
@inline
function applyWeighted<A, S>(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: f64, bias: f64): void {
  if (areBytes<S>()) applyBytes(x, y, n, mean, rstd * weight, bias);
  else if (sizeof<A>() == 8) applyF64Run(x, y, n, mean, rstd * weight, bias);
  else applyF32Weighted(x, y, n, mean, rstd, weight, bias);
}

/** n cells of a set, from its cell `start` on. */
@inline
function applyPart<A, S>(
  cells: usize, results: usize, start: usize, n: usize, run: usize, center: f64, rstd: f64, weight: usize, bias: usize,
): void {
  if (weight == 0) applyWeighted<A, S>(cells, results, n, center, rstd, 1, 0);
  else if (run == 1) {
    const at = bytesOf<A>(start);
    if (areBytes<S>()) applyBytesCells(cells, results, n, center, rstd, weight + at, bias + at);
    else applyCells<A>(cells, results, n, center, rstd, weight + at, bias + at);
  } else {
    for (let done: usize = 0, entry = start / run; done < n; entry++) {
      const cut = min(n, (entry + 1) * run - start), from = areBytes<S>() ? done : bytesOf<A>(done);
      applyWeighted<A, S>(
        cells + from, results + bytesOf<A>(done), cut - done, center, rstd, load<f64>(weight + (entry << 3)), load<f64>(bias + (entry << 3)),
      );
      done = cut;
    }
  }
}

/**
 * Sets of any length. Divisions and roots take as long as some fifty cells, and what follows waits for them: so there are several short sets' moments
 * on their way, and the next set's deviation while one is applied. Of a converted set that fits the stage the conversion serves both.
 *
 * To sum the next set in the loop that applies one was built, and went: on an AMD processor rows of 1024 cells took 1.5 times as long with it, sets of
 * 16384 in place 1.4 times; only sets of 8192 cells and more that are computed in float64 took a tenth less.
 */
@inline
function normalizeSets<A, S>(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, measure: i32,
): void {
  setMeasure(measure);
  const n = <f64>length, entries = length / run, whole = length <= SEGMENT;
  const together = isStaged<S>() ? 1 : max<usize>(1, min<usize>(MOST_TOGETHER, TOGETHER_BYTES / bytesOf<A>(length)));
  const part = sizeof<S>() == sizeof<Direct>() ? length : min(SEGMENT, length);
  const found = freeScratch();
  let cells: usize = 0;
  for (let set = first, end = first + count; set < end; ) {
    const stop = min(end, set + together);
    for (let each = set, at = found; each < stop; each++, at += 16) {
      if (whole) {
        cells = cellsOf<A, S>(x, each * length, length);
        if (areBytes<S>()) momentsOfBytes(cells, length);
        else momentsSegment<A>(cells, length);
      } else momentsSet<A>(inputAt(x, each * length), length);
      store<f64>(at, mean);
      store<f64>(at, m2, 8);
      if (!moments) continue;
      store<f64>(moments + (each << 4), mean);
      store<f64>(moments + (each << 4), m2, 8);
    }
    let next = rstdOf(load<f64>(found, 8), n, eps);
    for (let at = found; set < stop; set++, at += 16) {
      const center = load<f64>(at), rstd = next, special = isAnySpecial(center, load<f64>(at, 8), rstd, 0);
      if (set + 1 < stop) next = rstdOf(load<f64>(at, 24), n, eps);
      const entry = (set % groups) * entries, affine = run == 1 ? bytesOf<A>(entry) : entry << 3;
      const weights = weight ? weight + affine : 0, biases = bias + affine;
      for (let start: usize = 0; start < length; start += part) {
        const size = min(part, length - start), from = set * length + start;
        if (!isStaged<S>() || !whole) cells = cellsOf<A, S>(x, from, size);
        const to = outputAt(y, from), results = isStaged<S>() ? target(to, cells) : to;
        applyPart<A, S>(cells, results, start, size, run, center, rstd, weights, biases);
        if (special) settle<A>(results, size);
        if (isStaged<S>()) finished(results, to, size);
      }
    }
  }
}

export function normalizeF64Sets(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, measure: i32,
): void {
  normalizeSets<f64, Direct>(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
}

/**
 * Sets [first, first + count) of `length` consecutive cells. weight and bias are both 0 for none; they have
 * one entry a run of `run` cells, float64, or where that is one cell float32, and set s takes those of group s % groups. Where `moments` is not 0,
 * {mean, M2} of set s go to moments + 16 * s. Not centred, the mean counts as 0. One read, one write; y may be x. Any length >= 1, 4-byte aligned.
 */
export function normalizeF32Sets(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, measure: i32,
): void {
  if (stored == FLOAT16 || stored == BFLOAT16) {
    if (takesHalves(length, groups, run, weight)) {
      normalizeHalves(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
      return;
    }
  }
  if (isBytes()) normalizeSets<f32, Bytes>(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
  else if (converted()) normalizeSets<f32, Staged>(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
  else normalizeSets<f32, Direct>(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
}
