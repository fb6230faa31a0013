// Tiles of phases whose units are rows that lie apart: they are gathered, and results of `response` scattered.
import { blocksOf, COLUMN_TILE, columnTilesOf } from "../../src/plan/grid.js";
import type { AccumulatePhase, MomentsPhase, ReducePhase, ResponsePhase } from "../../src/plan/phase.js";
import { consecutive, PAIR_BYTES, type Tile } from "./tile.js";

type BlockPhase = Extract<MomentsPhase | ReducePhase, { layout: "runs" }>;

/** Segments that are runs of several rows, `period` of them side by side: whole samples, or some of a block of rows. */
export function* blockTiles(
  phase: BlockPhase,
  period: number,
  unit: number,
  end: number,
  room: number,
): Generator<Tile> {
  const { length, rows, perSegment } = phase;
  const perSet = phase.kind === "reduce" ? phase.perSet : 1;
  const stride = period * length;
  const blocks = blocksOf(rows, perSegment);
  for (let at = unit; at < end; ) {
    const column = at % period;
    const block = Math.floor(at / period);
    const sample = Math.floor(block / blocks);
    const firstSet = sample * (period / perSet);
    const samples = Math.floor(Math.min((end - at) / period, room / (rows * stride)));
    if (blocks === 1 && column === 0 && samples > 0) {
      const count = samples * period;
      const ahead = { partials: at * PAIR_BYTES, statistics: firstSet * PAIR_BYTES };
      yield {
        ...consecutive(sample * rows * stride, samples * rows * stride),
        phase,
        first: 0,
        count,
        before: 0,
        ahead,
      };
      at += count;
      continue;
    }
    const row = (block % blocks) * perSegment;
    const high = Math.min(perSegment, rows - row);
    const inSet = column % perSet;
    // A multiple of 8 runs keeps every row's copy aligned as its cells are; others are copied by the byte.
    const fitting = Math.floor(room / (high * length));
    const wanted = fitting >= 8 ? fitting - (fitting % 8) : fitting;
    const count = Math.min(end - at, inSet === 0 ? period - column : perSet - inSet, wanted);
    const size = { rows: high, perSegment: high };
    yield {
      at: (sample * rows + row) * stride + column * length,
      rows: high,
      width: count * length,
      stride,
      phase:
        phase.kind === "reduce"
          ? { ...phase, ...size, period: count, perSet: inSet === 0 ? perSet : count }
          : { ...phase, ...size, groups: count },
      first: 0,
      count,
      before: 0,
      ahead: {
        partials: at * PAIR_BYTES,
        statistics: (firstSet + Math.floor(column / perSet)) * PAIR_BYTES,
      },
    };
    at += count;
  }
}

type ColumnsPhase = Extract<MomentsPhase | ReducePhase, { layout: "columns" }>;

/** Blocks of rows by columns: whole samples or blocks where a tile of columns is all of them, else some columns of a block. */
export function* columnTiles(phase: ColumnsPhase, unit: number, end: number, room: number): Generator<Tile> {
  const { rows, width, perSegment } = phase;
  const tiles = columnTilesOf(width);
  const blocks = blocksOf(rows, perSegment);
  for (let at = unit; at < end; ) {
    const block = Math.floor(at / tiles);
    const sample = Math.floor(block / blocks);
    const row = (block % blocks) * perSegment;
    const high = Math.min(perSegment, rows - row);
    const start = (sample * rows + row) * width;
    const ahead = (column: number) => ({
      partials: (block * width + column) * PAIR_BYTES,
      means: (sample * width + column) * 8,
      weight: row * 8,
    });
    const fitting = Math.floor(room / (Math.min(perSegment, rows) * width));
    if (tiles === 1 && fitting > 0) {
      const count = Math.min(end - at, fitting, blocks === 1 ? fitting : blocks - (block % blocks));
      const tall = blocks === 1 ? count * rows : Math.min(count * perSegment, rows - row);
      const place = { ...consecutive(start, tall * width), first: 0, count, before: 0, ahead: ahead(0) };
      yield { ...place, phase: { ...phase, rows: blocks === 1 ? rows : tall } };
      at += count;
      continue;
    }
    // Kernels take four columns together.
    const step = Math.floor(room / high / 4) * 4;
    const from = (at % tiles) * COLUMN_TILE;
    const to = Math.min(from + COLUMN_TILE, width);
    for (let column = from; column < to; column += step) {
      const wide = Math.min(step, to - column);
      yield {
        at: start + column,
        rows: high,
        width: wide,
        stride: width,
        phase: { ...phase, rows: high, width: wide, perSegment: high },
        first: 0,
        count: 1,
        before: 0,
        ahead: ahead(column),
      };
    }
    at++;
  }
}

export function* accumulateTiles(phase: AccumulatePhase, unit: number, end: number, room: number): Generator<Tile> {
  const { samples, perBlock, length, groups } = phase;
  const cells = length * groups;
  const tiles = columnTilesOf(cells);
  for (let at = unit; at < end; at++) {
    const column = at % tiles;
    const block = Math.floor(at / tiles);
    const start = column * COLUMN_TILE;
    const width = Math.min(COLUMN_TILE, cells - start);
    const last = Math.min(samples, (block + 1) * perBlock);
    const step = Math.floor(room / width);
    for (let sample = block * perBlock; sample < last; sample += step) {
      const rows = Math.min(step, last - sample);
      yield {
        at: sample * cells + start,
        rows,
        width,
        stride: cells,
        phase: { ...phase, samples: rows, perBlock: rows },
        first: column,
        count: 1,
        before: start,
        continues: sample > block * perBlock,
        pitch: width,
        ahead: { statistics: sample * groups * PAIR_BYTES, partials: block * cells * PAIR_BYTES },
      };
    }
  }
}

export function* responseTiles(phase: ResponsePhase, unit: number, end: number, room: number): Generator<Tile> {
  const { channels, space, tile } = phase;
  const tiles = Math.ceil(space / tile);
  const same = { first: 0, before: 0, ahead: {} };
  for (let at = unit; at < end; ) {
    if (tiles === 1) {
      const count = Math.min(end - at, Math.floor(room / (channels * space)));
      yield { ...consecutive(at * channels * space, count * channels * space), ...same, phase, count };
      at += count;
      continue;
    }
    const start = (at % tiles) * tile;
    const count = Math.min(end - at, tiles - (at % tiles), Math.floor(room / (channels * tile)));
    const width = Math.min(count * tile, space - start);
    const sample = Math.floor(at / tiles) * channels * space;
    const place = { at: sample + start, rows: channels, width, stride: space };
    yield { ...place, ...same, phase: { ...phase, space: width }, count };
    at += count;
  }
}
