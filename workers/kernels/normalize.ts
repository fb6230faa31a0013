// Phase `normalize`: moments and apply of sets of consecutive cells, each set read from memory once (fuse.ts).
import {
  applyCells, applyF32Cells, applyF32Run, applyF32Single, applyF32Weighted, applyF64Run, applyRun, entryOf, isCentred, isLine,
  takeCentred, takeSingle,
} from "./apply";
import { isBytes } from "./bytes";
import { finished, inputAt, loaded, outputAt, converted, stored, target } from "./cells";
import { BFLOAT16, BLOCKS_FROM, FLOAT16, SEGMENT } from "./constants";
import { fuseF32Cells, fuseF32Line, fuseF32Plain, fuseF32Run, fuseF32Single, fuseF32SingleCells, fuseF64Cells, fuseF64Plain, fuseF64Run } from "./fuse";
import { normalizeHalves, takesHalves } from "./halves";
import { bytesOf, freeScratch } from "./lanes";
import { endMerge, mergeSegment, startMerge } from "./merge";
import { momentsSet } from "./moments";
import { normalizeBytes } from "./normalize-bytes";
import { m2, mean, momentsSegment } from "./segment-moments";
import { isAnySpecial, isSpecial, rstdOf, setMeasure, settle } from "./statistics";

/** (x - mean) * rstd * weight + bias of n cells. */
@inline
function applyWeighted<A>(x: usize, y: usize, n: usize, mean: f64, rstd: f64, weight: f64, bias: f64): void {
  if (sizeof<A>() == 8) applyF64Run(x, y, n, mean, rstd * weight, bias);
  else applyF32Weighted(x, y, n, mean, rstd, weight, bias);
}

/** n cells of a set, from its cell `start` on. */
@inline
function applyPart<A>(
  cells: usize, results: usize, start: usize, n: usize, run: usize, center: f64, rstd: f64, weight: usize, bias: usize,
): void {
  if (weight == 0) applyWeighted<A>(cells, results, n, center, rstd, 1, 0);
  else if (run == 1) applyCells<A>(cells, results, n, center, rstd, weight + bytesOf<A>(start), bias + bytesOf<A>(start));
  else {
    for (let done: usize = 0, entry = start / run; done < n; entry++) {
      const cut = min(n, (entry + 1) * run - start), at = bytesOf<A>(done);
      applyWeighted<A>(
        cells + at, results + at, cut - done, center, rstd, load<f64>(weight + (entry << 3)), load<f64>(bias + (entry << 3)),
      );
      done = cut;
    }
  }
}

/** Any dtype: moments, then apply, a set after the other; of a converted set that fits the stage the conversion serves both. */
@inline
function normalizeSets<A>(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, measure: i32,
): void {
  setMeasure(measure);
  const entries = length / run;
  const whole = length <= SEGMENT;
  let cells: usize = 0;
  for (let set = first, end = first + count; set < end; set++) {
    if (whole) {
      cells = loaded(inputAt(x, set * length), length);
      momentsSegment<A>(cells, length);
    } else momentsSet<A>(inputAt(x, set * length), length);
    if (moments) {
      store<f64>(moments + (set << 4), mean);
      store<f64>(moments + (set << 4), m2, 8);
    }
    const center = mean, rstd = rstdOf(m2, <f64>length, eps), special = isSpecial(rstd);
    const affine = run == 1 ? bytesOf<A>((set % groups) * entries) : ((set % groups) * entries) << 3;
    const weights = weight ? weight + affine : 0, biases = bias + affine;
    for (let start: usize = 0; start < length; start += SEGMENT) {
      const n = min(SEGMENT, length - start), at = set * length + start, to = outputAt(y, at);
      if (!whole) cells = loaded(inputAt(x, at), n);
      const results = target(to, cells);
      applyPart<A>(cells, results, start, n, run, center, rstd, weights, biases);
      if (special) settle<A>(results, n);
      finished(results, to, n);
    }
  }
}

/** Bytes of the sets whose moments are taken together before the first of them is applied, and how many there may be. */
const TOGETHER_BYTES: usize = 4096;
const MOST_TOGETHER: usize = 10;

/**
 * Bytes of the longest sets that are applied right after they were read, and not while the next one is (fuse.ts): y is then written close behind where x
 * is read. On an AMD processor rows of 1024 cells took 0.6 of the time of fused ones, those above this size the same.
 */
const NEAR_BYTES: usize = 6144;

/** Whether normalizeNear takes sets of this length. The only cell of a set has its weight as a run has. */
@inline
function isNear<A>(length: usize): bool {
  return length > 1 && bytesOf<A>(length) <= NEAR_BYTES;
}

/**
 * Sets that are not converted, and few enough bytes to be in the nearest cache still when their moments are known. Divisions and roots take as long as
 * some fifty cells, and what follows waits for them. So there are several sets' moments on their way, and the next set's deviation while one is applied.
 */
@inline
function normalizeNear<A>(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, measure: i32,
): void {
  setMeasure(measure);
  const n = <f64>length, bytes = bytesOf<A>(length), entries = length / run;
  const together = max<usize>(1, min(MOST_TOGETHER, TOGETHER_BYTES / bytes));
  const found = freeScratch();
  for (let set = first, end = first + count; set < end; ) {
    const stop = min(end, set + together);
    for (let each = set, at = found; each < stop; each++, at += 16) {
      momentsSegment<A>(x + each * bytes, length);
      store<f64>(at, mean);
      store<f64>(at, m2, 8);
      if (!moments) continue;
      store<f64>(moments + (each << 4), mean);
      store<f64>(moments + (each << 4), m2, 8);
    }
    let next = rstdOf(load<f64>(found, 8), n, eps);
    for (let at = found; set < stop; set++, at += 16) {
      const center = load<f64>(at), rstd = next;
      if (set + 1 < stop) next = rstdOf(load<f64>(at, 24), n, eps);
      const cells = x + set * bytes, results = y + set * bytes;
      const affine = run == 1 ? bytesOf<A>((set % groups) * entries) : ((set % groups) * entries) << 3;
      applyPart<A>(cells, results, 0, length, run, center, rstd, weight ? weight + affine : 0, bias + affine);
      if (isAnySpecial(center, load<f64>(at, 8), rstd, 0)) settle<A>(results, length);
    }
  }
}

export function normalizeF64Sets(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, measure: i32,
): void {
  if (isNear<f64>(length)) {
    normalizeNear<f64>(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
    return;
  }
  const perCell = weight != 0 && run == 1 && length > 1;
  const perSet = weight == 0 || run == length;
  if (length < 8 || length > SEGMENT || !(perCell || perSet)) {
    normalizeSets<f64>(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
    return;
  }
  setMeasure(measure);
  const bytes = length << 3, entries = length / run;
  x += first * bytes;
  y += first * bytes;
  momentsSegment<f64>(x, length);
  for (let set = first, end = first + count; set < end; set++, x += bytes, y += bytes) {
    if (moments) {
      store<f64>(moments + (set << 4), mean);
      store<f64>(moments + (set << 4), m2, 8);
    }
    const center = mean, rstd = rstdOf(m2, <f64>length, eps), special = isSpecial(rstd);
    const affine = weight + (((set % groups) * entries) << 3), shifts = bias + (affine - weight);
    const scale = perSet && weight ? rstd * load<f64>(affine) : rstd;
    const shift = perSet && weight ? load<f64>(shifts) : 0;
    if (set + 1 == end) {
      if (perCell) applyCells<f64>(x, y, length, center, rstd, affine, shifts);
      else applyRun<f64>(x, y, length, center, scale, shift);
    } else if (perCell) fuseF64Cells(x, y, x + bytes, length, center, rstd, affine, shifts);
    else if (shift == 0) fuseF64Plain(x, y, x + bytes, length, center, scale);
    else fuseF64Run(x, y, x + bytes, length, center, scale, shift);
    if (special) settle<f64>(y, length);
  }
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
  if (isBytes()) {
    normalizeBytes(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
    return;
  }
  if (converted()) {
    normalizeSets<f32>(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
    return;
  }
  if (isNear<f32>(length)) {
    normalizeNear<f32>(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
    return;
  }
  setMeasure(measure);
  const n = <f64>length;
  const bytes = length << 2;
  const entries = length / run;
  const perCell = weight != 0 && run == 1 && length > 1;
  const perSet = weight == 0 || run == length;
  const fused = length >= BLOCKS_FROM && (perCell || perSet);
  x += first * bytes;
  y += first * bytes;
  momentsSet<f32>(x, length);
  for (let set = first, end = first + count; set < end; set++, x += bytes, y += bytes) {
    if (moments) {
      store<f64>(moments + (set << 4), mean);
      store<f64>(moments + (set << 4), m2, 8);
    }
    const rstd = rstdOf(m2, n, eps), special = isSpecial(rstd);
    const affine = weight + (((set % groups) * entries) << (run == 1 ? 2 : 3));
    const shifts = bias + (affine - weight);
    const scale = perSet && weight ? rstd * entryOf(affine, run) : rstd;
    const added = perSet && weight ? entryOf(shifts, run) : 0;
    const folds = perSet && isCentred(mean, rstd);
    const center = folds ? 0 : mean, shift = folds ? added - mean * scale : added;
    const inSingle = perCell ? takeCentred(mean, rstd) : center == 0 && takeSingle(scale, shift);
    if (fused && set + 1 < end) {
      startMerge();
      for (let done: usize = 0; done < length; done += SEGMENT) {
        const cells = min(SEGMENT, length - done), at = done << 2;
        if (cells < BLOCKS_FROM) {
          // Only a last segment is so short: its moments are exact ones.
          if (perCell) applyF32Cells(x + at, y + at, cells, center, rstd, affine + at, shifts + at);
          else if (inSingle) applyF32Single(x + at, y + at, cells);
          else applyF32Run(x + at, y + at, cells, center, scale, shift);
          momentsSet<f32>(x + bytes + at, cells);
        } else if (perCell && inSingle) {
          fuseF32SingleCells(x + at, y + at, x + bytes + at, cells, affine + at, shifts + at);
        } else if (perCell) {
          fuseF32Cells(x + at, y + at, x + bytes + at, cells, center, rstd, affine + at, shifts + at);
        } else if (inSingle) {
          fuseF32Single(x + at, y + at, x + bytes + at, cells);
        } else if (shift == 0) {
          fuseF32Plain(x + at, y + at, x + bytes + at, cells, center, scale);
        } else if (isLine(center, scale)) {
          fuseF32Line(x + at, y + at, x + bytes + at, cells, center, scale, shift);
        } else {
          fuseF32Run(x + at, y + at, x + bytes + at, cells, center, scale, shift);
        }
        mergeSegment(<f64>cells);
      }
      endMerge();
      if (special) settle<f32>(y, length);
      continue;
    }
    if (perCell) applyF32Cells(x, y, length, center, rstd, affine, shifts);
    else if (perSet) applyF32Run(x, y, length, center, scale, shift);
    else {
      for (let i: usize = 0; i < entries; i++) {
        const at = (i * run) << 2;
        applyF32Weighted(x + at, y + at, run, center, rstd, load<f64>(affine + (i << 3)), load<f64>(shifts + (i << 3)));
      }
    }
    if (special) settle<f32>(y, length);
    if (set + 1 < end) momentsSet<f32>(x + bytes, length);
  }
}
