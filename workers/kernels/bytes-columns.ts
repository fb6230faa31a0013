// uint8 cells in columns, such as photographs whose channels come last: as in bytes.ts sums are of whole numbers, and results are float32's.
import { center, high, low, offset, takeBytes } from "./bytes";
import { columnsRoom } from "./cells";
import { NARROW } from "./constants";
import { rowsTaken } from "./narrow";
import { putMoments } from "./moments-phase";
import { finishWhole, setSums } from "./segment-moments";
import { settle } from "./statistics";

/** Columns whose lines the stage's part for columns has room for. */
const MOST: usize = 512;
/** So many cells add up to no more than 16 bits hold. */
const HELD: usize = 256;

/**
 * Takes the lines of `width` <= MOST columns whose means, scales and shifts are three arrays `bytes` bytes apart at `table`: as four arrays of float32 for
 * `period` cells, in the stage's part for columns, at the address that is returned. Those that float32 does not hold are lines of 0, and `areOthers` true.
 */
function takeColumns(table: usize, bytes: usize, width: usize, period: usize): usize {
  const array = period << 2, room = columnsRoom();
  areOthers = false;
  for (let c: usize = 0; c < width; c++) {
    const at = table + (c << 3), taken = takeBytes(load<f64>(at), load<f64>(at + bytes), load<f64>(at + 2 * bytes));
    areOthers = areOthers || !taken;
    for (let to = room + (c << 2), end = room + array; to < end; to += width << 2) {
      store<f32>(to, taken ? <f32>center : 0);
      store<f32>(to + array, taken ? high : 0);
      store<f32>(to + 2 * array, taken ? low : 0);
      store<f32>(to + 3 * array, taken ? offset : 0);
    }
  }
  return room;
}

let areOthers: bool = false;

/** y = (x - mean) * scale + shift of one column of rows of `width` cells, in float64. */
function applyOther(x: usize, y: usize, rows: usize, width: usize, mean: f64, scale: f64, shift: f64): void {
  for (const end = x + rows * width; x < end; x += width, y += width << 2) {
    store<f32>(y, <f32>((<f64>load<u8>(x) - mean) * scale + shift));
    settle<f32>(y, 1);
  }
}

/**
 * y = (x - mean[c]) * scale[c] + shift[c] over rows of `width` cells, given the three arrays at `table`. How a column is computed hangs on its own numbers
 * alone: a tile may have any columns of a tensor's. One read, one write.
 */
export function applyBytesColumns(x: usize, y: usize, rows: usize, width: usize, table: usize): void {
  const bytes = width << 3;
  for (let start: usize = 0; start < width; start += MOST) {
    const columns = min(MOST, width - start), at = table + (start << 3);
    const period = width < NARROW ? rowsTaken(width) * width : columns, lines = takeColumns(at, bytes, columns, period);
    if (columns == width) applyU8Columns(x, y, rows * width, period, lines);
    else {
      for (let cell = start, end = rows * width; cell < end; cell += width) applyU8Columns(x + cell, y + (cell << 2), columns, period, lines);
    }
    if (!areOthers) continue;
    for (let c: usize = 0; c < columns; c++) {
      const entry = at + (c << 3), mean = load<f64>(entry), scale = load<f64>(entry + bytes), shift = load<f64>(entry + 2 * bytes);
      if (!takeBytes(mean, scale, shift)) applyOther(x + start + c, y + ((start + c) << 2), rows, width, mean, scale, shift);
    }
  }
}

@inline
function fourOf(t: v128, lines: usize, array: usize): v128 {
  const cells = f32x4.sub(f32x4.convert_i32x4_u(t), v128.load(lines)), rows = lines + array;
  const rest = f32x4.add(f32x4.mul(cells, v128.load(rows + array)), v128.load(rows + 2 * array));
  return f32x4.add(f32x4.mul(cells, v128.load(rows)), rest);
}

/** The lines at `lines` over n cells of whole rows, `period` cells at a time. One read, one write. */
export function applyU8Columns(x: usize, y: usize, n: usize, period: usize, lines: usize): void {
  const array = period << 2, last = x + n;
  while (x < last) {
    const end = x + min(period, last - x);
    let at = lines;
    for (const stop = x + ((end - x) & ~7); x < stop; x += 8, y += 32, at += 32) {
      const cells = i16x8.extend_low_i8x16_u(v128.load64_zero(x));
      v128.store(y, fourOf(i32x4.extend_low_i16x8_u(cells), at, array));
      v128.store(y, fourOf(i32x4.extend_high_i16x8_u(cells), at + 16, array), 16);
    }
    for (; x < end; x++, y += 4, at += 4) {
      const t = <f32>load<u8>(x) - load<f32>(at), rows = at + array;
      store<f32>(y, t * load<f32>(rows) + (t * load<f32>(rows + array) + load<f32>(rows + 2 * array)));
    }
  }
}

/**
 * Sums of n cells of whole rows, `period` cells at a time: for each of these cells 16 bits that gather up to HELD, and the squares' 32 bits, both in
 * `sums`. n is a multiple of `period`, that of 8.
 */
export function sumU8Columns(x: usize, n: usize, period: usize, sums: usize): void {
  const squares = sums + (period << 1);
  for (const last = x + n; x < last; ) {
    let s = sums, q = squares;
    for (const end = x + period; x < end; x += 8, s += 16, q += 32) {
      const cells = i16x8.extend_low_i8x16_u(v128.load64_zero(x));
      v128.store(s, i16x8.add(v128.load(s), cells));
      v128.store(q, i32x4.add(v128.load(q), i32x4.extmul_low_i16x8_u(cells, cells)));
      v128.store(q, i32x4.add(v128.load(q, 16), i32x4.extmul_high_i16x8_u(cells, cells)), 16);
    }
  }
}

/**
 * {mean, M2} of each of `width` < NARROW columns of `rows` <= 4096 rows that lie one after the other, to partials + 16 * c; exact but for one
 * rounding. One read.
 */
export function momentsOfNarrowBytes(x: usize, partials: usize, rows: usize, width: usize): void {
  const period = rowsTaken(width) * width, bytes = period << 1, room = columnsRoom();
  // 16 and 32 bits a cell of the period, then 32 bits for a column's sum and its squares.
  const squares = room + bytes, totals = squares + (bytes << 1);
  memory.fill(room, 0, bytes * 3);
  memory.fill(totals, 0, width << 3);
  const n = rows * width, whole = n - (n % period);
  for (let done: usize = 0; done < whole; ) {
    const cells = min(whole - done, HELD * period);
    sumU8Columns(x + done, cells, period, room);
    done += cells;
    for (let i: usize = 0, c: usize = 0; i < period; i++, c = c + 1 == width ? 0 : c + 1) {
      store<u32>(totals + (c << 3), load<u32>(totals + (c << 3)) + <u32>load<u16>(room + (i << 1)));
    }
    memory.fill(room, 0, bytes);
  }
  for (let i: usize = 0, c: usize = 0; i < period; i++, c = c + 1 == width ? 0 : c + 1) {
    store<u32>(totals + (c << 3), load<u32>(totals + (c << 3), 4) + load<u32>(squares + (i << 2)), 4);
  }
  for (let i = whole, c: usize = 0; i < n; i++, c = c + 1 == width ? 0 : c + 1) {
    const cell = <u32>load<u8>(x + i), total = totals + (c << 3);
    store<u32>(total, load<u32>(total) + cell);
    store<u32>(total, load<u32>(total, 4) + cell * cell, 4);
  }
  for (let c: usize = 0; c < width; c++) {
    setSums(<f64>load<u32>(totals + (c << 3)), <f64>load<u32>(totals + (c << 3), 4));
    finishWhole(<f64>rows);
    putMoments(partials, c);
  }
}
