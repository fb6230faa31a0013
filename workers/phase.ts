// Computes a phase's units, the same on a worker and on the calling thread.
import { CELL_BYTES, type Dtype } from "../src/plan/cells.js";
import { COLUMN_TILE, columnTilesOf, columnUnit } from "../src/plan/grid.js";
import type { Phase } from "../src/plan/phase.js";
import { MEASURE_CODES } from "./arithmetic.js";
import { driverOf } from "./drivers/drivers.js";
import type { Kernels } from "./kernels.js";
import { NONE, type Operands } from "./operands.js";
import { STAGE_BYTES, STAGE_COLUMNS } from "./scratch.js";
import { type Addresses, load, store } from "./staging.js";
import type { PhaseTask } from "./task.js";
import { isContiguous } from "./tiles/window.js";
import { tilesOf } from "./tiles.js";

const PAIR_BYTES = 16;
const NUMBER_BYTES = 8;

/** Computes one slice of a task's phase, with the stage of its seat. */
export function runSlice(kernels: Kernels, task: Omit<PhaseTask, "control">, slice: number): void {
  const { phase, slices, operands, stages, seat } = task;
  const first = slices.from + slice * slices.perSlice;
  const end = Math.min(slices.to, first + slices.perSlice);
  runUnits(kernels, phase, operands, first, end, stages.address + seat * stages.bytes);
}

/** Computes units [first, end) of a phase, with the stage at `stage`. */
export function runUnits(
  kernels: Kernels,
  phase: Phase,
  operands: Operands,
  first: number,
  end: number,
  stage: number,
): void {
  const { dtype, continues } = operands;
  const there = inArena(operands);
  if (there !== undefined) {
    compute(kernels, phase, dtype, there, first, end - first, stage, continues);
    return;
  }
  for (const tile of tilesOf(phase, dtype, first, end)) {
    const staged = load(kernels.memory, phase, tile, operands, stage);
    // The first tiles of a block continue what an earlier stripe began, the others what those began.
    const adds = tile.continues === true || continues;
    compute(kernels, tile.phase, dtype, staged.addresses, tile.first, tile.count, stage, adds, tile.pitch);
    store(kernels.memory, tile, operands, staged);
  }
}

/** The addresses of operands that kernels work on where they lie; undefined where tiles have to be staged. */
function inArena({ dtype, tensors, window, parameters, tables, results }: Operands): Addresses | undefined {
  if (!isContiguous(window)) return undefined;
  const { x, g, y } = tensors;
  for (const spec of [x, g, y]) if (spec !== null && driverOf(spec).addressOf === undefined) return undefined;
  const at = (spec: Operands["tensors"]["x"], bytes: number) =>
    spec === null ? NONE : (driverOf(spec).addressOf?.(spec, (window?.start ?? 0) * bytes) ?? NONE);
  const bytes = CELL_BYTES[dtype];
  const resultBytes = dtype === "uint8" ? CELL_BYTES.float32 : bytes;
  return { x: at(x, bytes), g: at(g, bytes), y: at(y, resultBytes), ...parameters, ...tables, ...results };
}

/**
 * Computes units [first, first + count) of a phase whose cells kernels can work on. With `continues` sums by cell are added to what is there.
 * @param pitch of `accumulate`: cells from a sample to the next, where that is not all of a sample's.
 */
export function compute(
  kernels: Kernels,
  phase: Phase,
  dtype: Dtype,
  addresses: Addresses,
  first: number,
  count: number,
  stage: number,
  continues: boolean,
  pitch?: number,
): void {
  const { x, g, y, weight, bias, table, statistics, means, partials, moments } = addresses;
  const columns = stage + STAGE_COLUMNS;
  const kernel = dtype === "float64" ? kernels.float64 : kernels.float32;
  kernels.setCells(dtype, stage);
  switch (phase.kind) {
    case "normalize": {
      const { length, groups, run, eps } = phase;
      const measure = MEASURE_CODES[phase.measure];
      kernel.normalizeSets(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
      return;
    }
    case "moments":
      switch (phase.layout) {
        case "stretches":
          kernel.momentsStretches(x, partials, first, count, phase.length, phase.centred);
          return;
        case "runs": {
          const { length, groups, rows, perSegment } = phase;
          kernel.momentsRuns(x, partials, first, count, length, groups, rows, perSegment);
          return;
        }
        case "columns":
          for (let unit = first; unit < first + count; unit++) {
            const { at, segment, rows, width } = columnUnit(phase, unit);
            const cells = x + at * CELL_BYTES[dtype];
            kernel.momentsColumns(cells, partials + segment * PAIR_BYTES, rows, width, phase.width, columns);
          }
          return;
      }
      break;
    case "apply":
      switch (phase.layout) {
        case "stretches":
          kernel.applyStretches(x, y, first, count, phase.length, phase.period, phase.rows, table);
          return;
        case "cells":
          kernel.applySetCells(x, y, first, count, phase.length, phase.groups, table, weight, bias);
          return;
        case "columns":
          kernel.applyColumns(x, y, first, count, phase.width, phase.rows, table, weight, bias);
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
            const { at, segment, entry, row, rows, width } = columnUnit(phase, unit);
            const bytes = at * CELL_BYTES[dtype];
            const rowWeights = weight === NONE ? NONE : weight + row * NUMBER_BYTES;
            const sums = partials + segment * PAIR_BYTES;
            const mean = means + entry * NUMBER_BYTES;
            kernel.reduceColumns(x + bytes, g + bytes, sums, rows, width, phase.width, mean, columns, rowWeights);
          }
          return;
      }
      break;
    case "sumRows":
      kernel.sumRows(x, g, partials, first, count, phase.width, phase.rows, table);
      return;
    case "accumulate": {
      const { samples, perBlock, length, groups } = phase;
      const cells = groups * length;
      const tiles = columnTilesOf(cells);
      for (let unit = first; unit < first + count; unit++) {
        const sample = Math.floor(unit / tiles) * perBlock;
        const start = (unit % tiles) * COLUMN_TILE;
        const weights = partials + Math.floor(unit / tiles) * cells * PAIR_BYTES;
        const biases = weights + cells * NUMBER_BYTES;
        const high = Math.min(perBlock, samples - sample);
        const wide = Math.min(COLUMN_TILE, cells - start);
        const row = pitch ?? cells;
        kernel.accumulate(x, g, sample, high, start, wide, length, groups, row, continues, statistics, weights, biases);
      }
      return;
    }
    case "propagate":
      switch (phase.layout) {
        case "stretches":
          kernel.propagateStretches(x, g, y, first, count, phase.length, phase.period, phase.rows, table);
          return;
        case "cells":
          kernel.propagateSetCells(x, g, y, first, count, phase.length, phase.groups, table, weight);
          return;
        case "columns":
          kernel.propagateColumns(x, g, y, first, count, phase.width, phase.rows, table, weight);
          return;
      }
      break;
    case "differentiate": {
      const { setsPerUnit, sets, length, groups, run, eps, byCell } = phase;
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
        MEASURE_CODES[phase.measure],
        byCell,
        continues,
        statistics,
        partials,
      );
      return;
    }
    case "response": {
      const { channels, space, tile, before, after, factor, beta, k, back } = phase;
      const scratch = stage + STAGE_BYTES;
      kernel.respond(x, g, y, first, count, channels, space, tile, before, after, factor, beta, k, back, scratch);
    }
  }
}
