// Phase `normalize` of uint8 cells (bytes.ts): as of float32, the next set is summed while one is applied.
import { entryOf } from "./apply";
import { applyBytes, applyBytesCells, fuseU8, fuseU8Cells, takeBytes } from "./bytes";
import { inputAt, outputAt } from "./cells";
import { SEGMENT } from "./constants";
import { endMerge, mergeSegment, startMerge } from "./merge";
import { momentsSet } from "./moments";
import { finishWhole, m2, mean } from "./segment-moments";
import { rstdOf, setMeasure } from "./statistics";

/** normalizeF32Sets of uint8 cells. */
export function normalizeBytes(
  x: usize, y: usize, first: usize, count: usize, length: usize, groups: usize, run: usize,
  weight: usize, bias: usize, eps: f64, moments: usize, measure: i32,
): void {
  setMeasure(measure);
  const n = <f64>length, entries = length / run;
  const perCell = weight != 0 && run == 1 && length > 1, perSet = weight == 0 || run == length;
  let at = inputAt(x, first * length);
  momentsSet<f32>(at, length);
  for (let set = first, end = first + count; set < end; set++, at += length) {
    if (moments) {
      store<f64>(moments + (set << 4), mean);
      store<f64>(moments + (set << 4), m2, 8);
    }
    const rstd = rstdOf(m2, n, eps), average = mean, to = outputAt(y, set * length);
    const affine = weight + (((set % groups) * entries) << (run == 1 ? 2 : 3)), shifts = bias + (affine - weight);
    const scale = perSet && weight ? rstd * entryOf(affine, run) : rstd, shift = perSet && weight ? entryOf(shifts, run) : 0;
    const hasNext = set + 1 < end, fused = hasNext && (perSet || perCell) && takeBytes(average, scale, shift);
    if (fused) startMerge();
    for (let start: usize = 0; start < length; start += SEGMENT) {
      const cells = min(SEGMENT, length - start), from = at + start, results = to + (start << 2), entry = start << 2;
      if (fused) {
        if (perCell) fuseU8Cells(from, results, cells, affine + entry, shifts + entry, from + length);
        else fuseU8(from, results, cells, from + length);
        finishWhole(<f64>cells);
        mergeSegment(<f64>cells);
      } else if (perCell) applyBytesCells(from, results, cells, average, rstd, affine + entry, shifts + entry);
      else if (perSet) applyBytes(from, results, cells, average, scale, shift);
      else {
        for (let done: usize = 0; done < cells; ) {
          const i = (start + done) / run, cut = min(cells, (i + 1) * run - start);
          const factor = rstd * load<f64>(affine + (i << 3));
          applyBytes(from + done, results + (done << 2), cut - done, average, factor, load<f64>(shifts + (i << 3)));
          done = cut;
        }
      }
    }
    if (fused) endMerge();
    else if (hasNext) momentsSet<f32>(at + length, length);
  }
}
