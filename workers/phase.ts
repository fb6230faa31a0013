// Computes a phase's units, the same on a worker and on the calling thread.
import { CELL_BYTES, type Dtype } from "../src/plan/cells.js";
import { COLUMN_TILE, columnTilesOf, columnUnit } from "../src/plan/grid.js";
import type { Phase } from "../src/plan/phase.js";
import { MEASURE_CODES } from "./arithmetic.js";
import { progressOf, STAGE_OF, setProgress } from "./control.js";
import { driverOf } from "./drivers/drivers.js";
import type { Kernels } from "./kernels.js";
import { NONE, type Operands } from "./operands.js";
import { STAGE_BYTES, STAGE_COLUMNS } from "./scratch.js";
import { type Addresses, load, placesOf, restoreSums, saveSums, store } from "./staging.js";
import type { PhaseTask } from "./task.js";
import type { Tile } from "./tiles/tile.js";
import { isContiguous } from "./tiles/window.js";
import { tilesOf } from "./tiles.js";
import type { WasmMemory } from "./webassembly.js";

const PAIR_BYTES = 16;
const NUMBER_BYTES = 8;

/** The units of a slice. */
export function unitsOf({ slices }: Pick<PhaseTask, "slices">, slice: number) {
  const first = slices.from + slice * slices.perSlice;
  return { first, end: Math.min(slices.to, first + slices.perSlice) };
}

/** Computes one slice of a task's phase, with the stage of its seat, and notes how far it has come. */
export function runSlice(kernels: Kernels, task: PhaseTask, slice: number): void {
  const { phase, operands, stages, seat, control, logged } = task;
  const { first, end } = unitsOf(task, slice);
  const stage = stages.address + seat * stages.bytes;
  if (logged) {
    runLogged(kernels, task, slice, stage);
    return;
  }
  setProgress(control, slice, 0, STAGE_OF.computing);
  runUnits(kernels, phase, operands, first, end, stage);
}

/**
 * Computes a slice a tile at a time, from the one that it has come to, so that it can be gone on with wherever its thread is lost: results
 * leave the stage when all of the tile is computed, and sums that are added to are kept beside.
 */
function runLogged(
  kernels: Kernels,
  { phase, operands, control, ...task }: PhaseTask,
  slice: number,
  stage: number,
): void {
  const { memory } = kernels;
  const { first, end } = unitsOf(task, slice);
  const start = progressOf(control, slice).tile;
  let at = 0;
  for (const tile of tilesOf(phase, operands.dtype, first, end)) {
    if (at >= start) {
      const staged = load(memory, phase, tile, operands, stage, true);
      const adds = addsToSums(tile, operands);
      if (adds) saveSums(memory, phase, tile, operands, stage);
      setProgress(control, slice, at, STAGE_OF.computing);
      compute(kernels, tile.phase, operands.dtype, staged.addresses, tile.first, tile.count, stage, adds, tile.pitch);
      setProgress(control, slice, at, STAGE_OF.storing);
      store(memory, tile, operands, staged);
      setProgress(control, slice, at + 1, STAGE_OF.waiting);
    }
    at++;
  }
}

/** Puts a logged slice that was lost into a state from which it can be gone on with. On the calling thread, with the stage of the lost seat. */
export function recoverSlice(memory: WasmMemory, task: PhaseTask, slice: number): void {
  const { phase, operands, control, stages, seat } = task;
  const progress = progressOf(control, slice);
  if (progress.stage === STAGE_OF.waiting) return;
  const stage = stages.address + seat * stages.bytes;
  const { first, end } = unitsOf(task, slice);
  let at = 0;
  for (const tile of tilesOf(phase, operands.dtype, first, end)) {
    if (at++ < progress.tile) continue;
    if (progress.stage === STAGE_OF.computing) {
      if (addsToSums(tile, operands)) restoreSums(memory, phase, tile, operands, stage);
      setProgress(control, slice, progress.tile, STAGE_OF.waiting);
    } else {
      store(memory, tile, operands, placesOf(phase, tile, operands, stage, true));
      setProgress(control, slice, progress.tile + 1, STAGE_OF.waiting);
    }
    return;
  }
}

/** The first tiles of a block continue what an earlier stripe began, the others what those began. */
function addsToSums(tile: Tile, { continues }: Operands): boolean {
  return tile.continues === true || continues;
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
    const adds = addsToSums(tile, operands);
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
