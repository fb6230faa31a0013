// Tiles of phases whose units follow each other in memory: segments of stretches of consecutive cells, and rows.
import type { Dtype } from "../../src/plan/cells.js";
import { partsOf, SEGMENT_CELLS } from "../../src/plan/grid.js";
import {
  type ApplyPhase,
  affineBytes,
  type MomentsPhase,
  type PropagatePhase,
  type ReducePhase,
  type SumRowsPhase,
  TABLE_FIELDS,
} from "../../src/plan/phase.js";
import { consecutive, PAIR_BYTES, type Tile } from "./tile.js";

/** Segments of stretches of `length` cells: some of one stretch, or stretches of one segment each. */
interface Stretches {
  /** The first segment. */
  readonly unit: number;
  readonly stretch: number;
  /** The first segment's first cell in its stretch. */
  readonly start: number;
  readonly count: number;
  readonly cells: number;
  readonly whole: boolean;
}

/** Cuts segments [unit, end); where a sample of `perSample` stretches is larger than a tile, no tile has parts of two. */
function* stretchTiles(
  length: number,
  perSample: number,
  unit: number,
  end: number,
  room: number,
): Generator<Stretches> {
  const parts = partsOf(length);
  if (parts > 1) {
    for (let at = unit; at < end; ) {
      const part = at % parts;
      const start = part * SEGMENT_CELLS;
      const count = Math.min(end - at, parts - part, Math.floor(room / SEGMENT_CELLS));
      const cells = Math.min(count * SEGMENT_CELLS, length - start);
      yield { unit: at, stretch: Math.floor(at / parts), start, count, cells, whole: false };
      at += count;
    }
    return;
  }
  for (let at = unit; at < end; ) {
    const left = perSample * length > room ? perSample - (at % perSample) : end - at;
    const count = Math.min(end - at, left, Math.floor(room / length));
    yield { unit: at, stretch: at, start: 0, count, cells: count * length, whole: true };
    at += count;
  }
}

type MomentsOfStretches = Extract<MomentsPhase, { layout: "stretches" }>;

export function* momentsTiles(phase: MomentsOfStretches, first: number, end: number, room: number): Generator<Tile> {
  for (const { unit, stretch, start, count, cells, whole } of stretchTiles(phase.length, 1, first, end, room)) {
    yield {
      ...consecutive(stretch * phase.length + start, cells),
      phase: whole ? phase : { ...phase, length: cells },
      first: 0,
      count,
      before: 0,
      ahead: { partials: unit * PAIR_BYTES },
    };
  }
}

/** Stretches of which each looks something up, `period` a row, `rows` rows a sample. */
interface Lookup {
  readonly period: number;
  readonly rows: number;
}

/** The first of `count` stretches from `stretch` on, counted from its row or its sample. */
function withinSample({ period, rows }: Lookup, stretch: number, count: number, length: number, room: number) {
  const perSample = period * rows;
  const sample = Math.floor(stretch / perSample);
  if (perSample * length <= room) return { sample, first: stretch % perSample, rows };
  const first = stretch % period;
  return { sample, first, rows: Math.ceil((first + count) / period) };
}

type ReduceOfStretches = Extract<ReducePhase, { layout: "stretches" }>;

export function* reduceTiles(
  phase: ReduceOfStretches,
  dtype: Dtype,
  from: number,
  end: number,
  room: number,
): Generator<Tile> {
  const entryBytes = affineBytes(phase, dtype);
  const { length, period, perSet, rows } = phase;
  const setsPerRow = period / perSet;
  for (const part of stretchTiles(length, period * rows, from, end, room)) {
    const { unit, stretch, start, count, cells } = part;
    const place = { ...consecutive(stretch * length + start, cells), count };
    if (part.whole) {
      const { sample, first, rows } = withinSample(phase, stretch, count, length, room);
      const ahead = { statistics: sample * setsPerRow * PAIR_BYTES, partials: (unit - first) * PAIR_BYTES };
      yield { ...place, phase: { ...phase, rows }, first, before: first * length, ahead };
      continue;
    }
    const channel = stretch % period;
    const set = Math.floor(stretch / (period * rows)) * setsPerRow + Math.floor(channel / perSet);
    const ahead = {
      statistics: set * PAIR_BYTES,
      weight: (channel * length + start) * entryBytes,
      partials: unit * PAIR_BYTES,
    };
    yield { ...place, phase: { ...phase, length: cells, period: 1, perSet: 1, rows: 1 }, first: 0, before: 0, ahead };
  }
}

/** Apply and propagate. */
export function lookupTiles(
  phase: ApplyPhase | PropagatePhase,
  dtype: Dtype,
  unit: number,
  end: number,
  room: number,
): Generator<Tile> {
  const rowBytes = TABLE_FIELDS[phase.kind] * 8;
  if (phase.layout === "stretches") return tableTiles(phase, rowBytes, unit, end, room);
  if (phase.layout === "cells") return setTiles(phase, rowBytes, affineBytes(phase, dtype), unit, end, room);
  return rowTiles(phase, rowBytes, unit, end, room);
}

type Lookups<L> = Extract<ApplyPhase | PropagatePhase, { layout: L }>;

function* tableTiles(
  phase: Lookups<"stretches">,
  rowBytes: number,
  from: number,
  end: number,
  room: number,
): Generator<Tile> {
  const { length, period, rows } = phase;
  for (const { stretch, start, count, cells, whole } of stretchTiles(length, period * rows, from, end, room)) {
    const place = { ...consecutive(stretch * length + start, cells), count };
    if (whole) {
      const { sample, first, rows } = withinSample(phase, stretch, count, length, room);
      const ahead = { table: sample * period * rowBytes };
      yield { ...place, phase: { ...phase, rows }, first, before: first * length, ahead };
      continue;
    }
    const row = Math.floor(stretch / (period * rows)) * period + (stretch % period);
    const alone = { ...phase, length: cells, period: 1, rows: 1 };
    yield { ...place, phase: alone, first: 0, before: 0, ahead: { table: row * rowBytes } };
  }
}

function* setTiles(
  phase: Lookups<"cells">,
  rowBytes: number,
  entryBytes: number,
  from: number,
  end: number,
  room: number,
): Generator<Tile> {
  const { length, groups } = phase;
  for (const { stretch, start, count, cells, whole } of stretchTiles(length, 1, from, end, room)) {
    const place = { ...consecutive(stretch * length + start, cells), count };
    const group = stretch % groups;
    if (whole) {
      const ahead = { table: (stretch - group) * rowBytes };
      yield { ...place, phase, first: group, before: group * length, ahead };
      continue;
    }
    const entry = (group * length + start) * entryBytes;
    const ahead = { table: stretch * rowBytes, weight: entry, bias: entry };
    yield { ...place, phase: { ...phase, length: cells, groups: 1 }, first: 0, before: 0, ahead };
  }
}

function* rowTiles(
  phase: Lookups<"columns">,
  rowBytes: number,
  unit: number,
  end: number,
  room: number,
): Generator<Tile> {
  const { width, rows } = phase;
  const step = Math.floor(room / width);
  const large = rows > step;
  for (let at = unit; at < end; ) {
    const row = at % rows;
    const count = Math.min(step, end - at, large ? rows - row : step);
    const first = large ? 0 : row;
    const place = { ...consecutive(at * width, count * width), count };
    // A weight a row, where there is one, is that of the tile's first.
    const entry = large ? row * 8 : 0;
    const ahead = { table: Math.floor(at / rows) * width * rowBytes, weight: entry, bias: entry };
    yield { ...place, phase: { ...phase, rows: large ? count : rows }, first, before: first * width, ahead };
    at += count;
  }
}

/** Segments of rows, each of which looks up the table of its sample's columns: some of one row, or whole rows of one sample. */
export function* rowSumTiles(phase: SumRowsPhase, from: number, end: number, room: number): Generator<Tile> {
  const { width, rows } = phase;
  const parts = partsOf(width);
  const sampleBytes = TABLE_FIELDS.apply * width * 8;
  for (const { unit, stretch, start, count, cells, whole } of stretchTiles(width, rows, from, end, room)) {
    const sample = Math.floor(stretch / rows);
    const row = stretch % rows;
    const place = { ...consecutive(stretch * width + start, cells), count };
    if (whole) {
      const ahead = { table: sample * sampleBytes, partials: (unit - row) * PAIR_BYTES };
      yield { ...place, phase, first: row, before: row * width, ahead };
      continue;
    }
    // The table's arrays are as far apart as the whole row is wide.
    const first = (stretch % rows) * parts + start / SEGMENT_CELLS;
    const ahead = { table: sample * sampleBytes, partials: (unit - first) * PAIR_BYTES };
    yield { ...place, phase, first, before: row * width + start, ahead };
  }
}
