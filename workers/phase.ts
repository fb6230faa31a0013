import {
  type Addresses,
  CELL_BYTES,
  CELLS,
  COLUMN_TILE,
  type Operands,
  type Phase,
  STAGE_BYTES,
  STAGE_COLUMNS,
  sliceCount,
} from "../src/protocol.js";
import type { Kernels } from "./kernels.js";
import { isInArena, load, store, usedBy } from "./storage.js";
import { tilesOf } from "./tiles.js";

const PARTIAL_BYTES = 16;

/** Computes one slice of a phase, with the stage of task `seat`. The same on a worker and on the calling thread. */
export function runSlice(kernels: Kernels, phase: Phase, operands: Operands, slice: number, seat: number): void {
  const first = slice * phase.unitsPerSlice;
  const count = Math.min(phase.unitsPerSlice, phase.units - first);
  const stage = operands.stage + seat * operands.stageBytes;
  const used = isInArena(operands) ? operands : usedBy(phase, operands);
  if (isInArena(used)) {
    runUnits(kernels, phase, used, first, count, stage);
    return;
  }
  for (const tile of tilesOf(phase, used, first, first + count)) {
    const loaded = load(kernels.memory, phase, tile, used, stage);
    runUnits(kernels, tile.phase, loaded, tile.first, tile.count, stage);
    store(kernels.memory, tile, used, loaded);
  }
}

/** Computes units [first, first + count) of a phase. */
function runUnits(
  kernels: Kernels,
  phase: Phase,
  operands: Addresses,
  first: number,
  count: number,
  stage: number,
): void {
  const { cells, x, g, y, weight, bias, table, statistics, partials, moments } = operands;
  const columns = stage + STAGE_COLUMNS;
  const kernel = cells === CELLS.float64 ? kernels.float64 : kernels.float32;
  kernels.setCells(cells, stage);
  switch (phase.kind) {
    case "normalize": {
      const { length, groups, run, eps, centred } = phase;
      kernel.normalizeSets(x, y, first, count, length, groups, run, weight, bias, eps, moments, centred);
      return;
    }
    case "moments":
      switch (phase.layout) {
        case "sets":
          kernel.momentsSets(x, partials, first, count, phase.length, phase.centred);
          return;
        case "runs": {
          const { length, groups, rows, perSegment } = phase;
          kernel.momentsRuns(x, partials, first, count, length, groups, rows, perSegment);
          return;
        }
        case "columns":
          for (let unit = first; unit < first + count; unit++) {
            const { at, partial, rows, width } = columnUnit(phase, unit);
            const cellsAt = x + at * CELL_BYTES[cells];
            kernel.momentsColumns(cellsAt, partials + partial * PARTIAL_BYTES, rows, width, phase.width, columns);
          }
          return;
      }
      break;
    case "apply":
      switch (phase.layout) {
        case "runs":
          kernel.applyRuns(x, y, first, count, phase.length, phase.period, phase.rows, table);
          return;
        case "cells":
          kernel.applySetCells(x, y, first, count, phase.length, phase.groups, table, weight, bias);
          return;
        case "columns":
          kernel.applyColumns(x, y, first, count, phase.width, phase.rows, table);
          return;
      }
      break;
    case "reduce":
      switch (phase.layout) {
        case "stretches": {
          const { length, period, perSet, rows } = phase;
          kernel.reduceStretches(x, g, partials, first, count, length, period, perSet, rows, statistics, weight);
          return;
        }
        case "runs": {
          const { length, period, perSet, rows, perSegment } = phase;
          kernel.reduceRuns(x, g, partials, first, count, length, period, perSet, rows, perSegment, statistics);
          return;
        }
        case "columns":
          for (let unit = first; unit < first + count; unit++) {
            const { at, partial, mean, rows, width } = columnUnit(phase, unit);
            const bytes = at * CELL_BYTES[cells];
            const out = partials + partial * PARTIAL_BYTES;
            kernel.reduceColumns(x + bytes, g + bytes, out, rows, width, phase.width, table + mean * 8, columns);
          }
          return;
      }
      break;
    case "accumulate": {
      const { samples, perBlock, length, groups, pitch, continues } = phase;
      const tiles = Math.ceil((groups * length) / COLUMN_TILE);
      for (let unit = first; unit < first + count; unit++) {
        const block = Math.floor(unit / tiles);
        const start = (unit % tiles) * COLUMN_TILE;
        const weights = partials + block * groups * length * PARTIAL_BYTES;
        kernel.accumulate(
          x,
          g,
          block * perBlock,
          Math.min(perBlock, samples - block * perBlock),
          start,
          Math.min(COLUMN_TILE, groups * length - start),
          length,
          groups,
          pitch,
          continues,
          statistics,
          weights,
          weights + groups * length * 8,
        );
      }
      return;
    }
    case "propagate":
      switch (phase.layout) {
        case "runs":
          kernel.propagateRuns(x, g, y, first, count, phase.length, phase.period, phase.rows, table);
          return;
        case "cells":
          kernel.propagateSetCells(x, g, y, first, count, phase.length, phase.groups, table, weight);
          return;
        case "columns":
          kernel.propagateColumns(x, g, y, first, count, phase.width, phase.rows, table);
          return;
      }
      break;
    case "differentiate": {
      const { setsPerUnit, sets, length, groups, run, eps, centred, byCell, continues } = phase;
      kernel.differentiateSets(
        x,
        g,
        y,
        first,
        count,
        setsPerUnit,
        sets,
        length,
        groups,
        run,
        weight,
        eps,
        centred,
        byCell,
        continues,
        statistics,
        partials,
      );
      return;
    }
    case "response": {
      const { channels, space, tile, size, alpha, beta, k } = phase;
      const scratch = stage + STAGE_BYTES;
      kernel.respond(x, g, y, first, count, channels, space, tile, size, alpha, beta, k, scratch);
      return;
    }
    case "double": {
      const at = first * phase.length * CELL_BYTES[CELLS.float32];
      kernels.doubleRun(x + at, y + at, count * phase.length);
    }
  }
}

/** Where unit `unit` of a columns layout lies: in cells, in partials and in columns of all samples. */
function columnUnit(phase: { units: number; rows: number; width: number; perSegment: number }, unit: number) {
  const tiles = Math.ceil(phase.width / COLUMN_TILE);
  const blocks = Math.ceil(phase.rows / phase.perSegment);
  const block = Math.floor(unit / tiles);
  const sample = Math.floor(block / blocks);
  const row = (block % blocks) * phase.perSegment;
  const column = (unit % tiles) * COLUMN_TILE;
  return {
    at: (sample * phase.rows + row) * phase.width + column,
    partial: block * phase.width + column,
    mean: sample * phase.width + column,
    rows: Math.min(phase.perSegment, phase.rows - row),
    width: Math.min(COLUMN_TILE, phase.width - column),
  };
}

/** Computes a whole phase on this thread. */
export function runInline(kernels: Kernels, phase: Phase, operands: Operands): void {
  const slices = sliceCount(phase);
  for (let slice = 0; slice < slices; slice++) runSlice(kernels, phase, operands, slice, 0);
}
