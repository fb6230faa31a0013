// Computes a phase's units, the same on a worker and on the calling thread.
import { CELL_BYTES, type Dtype } from "../src/plan/cells.js";
import { COLUMN_TILE, columnTilesOf, columnUnit } from "../src/plan/grid.js";
import type { Phase } from "../src/plan/phase.js";
import { ALL_RESPONSE_STEPS, type Arithmetic, MEASURE_CODES, RESPONSE_STEPS } from "./arithmetic.js";
import { goesOn, progressOf, STAGE_OF, setProgress } from "./control.js";
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
/** Cells of a response that are computed before it is asked whether to go on: a millisecond or two. */
const RESPONSE_PIECE = 32_768;

/** Whether to go on, asked now and then. */
type GoesOn = () => boolean;
const always: GoesOn = () => true;

/** The units of a slice. */
export function unitsOf({ slices }: Pick<PhaseTask, "slices">, slice: number) {
  const first = slices.from + slice * slices.perSlice;
  return { first, end: Math.min(slices.to, first + slices.perSlice) };
}

/**
 * Computes one slice of a task's phase, with the stage of its seat, and notes how far it has come. Returns false where it has left it, because all is
 * to stop at once.
 */
export function runSlice(kernels: Kernels, task: PhaseTask, slice: number): boolean {
  const { phase, operands, stages, seat, control, logged } = task;
  const { first, end } = unitsOf(task, slice);
  const stage = stages.address + seat * stages.bytes;
  if (logged) return runLogged(kernels, task, slice, stage);
  setProgress(control, slice, 0, STAGE_OF.computing);
  return runUnits(kernels, phase, operands, first, end, stage, () => goesOn(control));
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
): boolean {
  const { memory } = kernels;
  const { first, end } = unitsOf(task, slice);
  const start = progressOf(control, slice).tile;
  let at = 0;
  for (const tile of tilesOf(phase, operands, first, end)) {
    if (at >= start) {
      const staged = load(memory, phase, tile, operands, stage, true);
      const adds = addsToSums(tile, operands);
      if (adds) saveSums(memory, phase, tile, operands, stage);
      setProgress(control, slice, at, STAGE_OF.computing);
      const { phase: part, first, count, pitch } = tile;
      const asked = () => goesOn(control);
      if (!compute(kernels, part, operands.dtype, staged.addresses, first, count, stage, adds, pitch, asked))
        return false;
      setProgress(control, slice, at, STAGE_OF.storing);
      store(memory, tile, operands, staged);
      setProgress(control, slice, at + 1, STAGE_OF.waiting);
    }
    at++;
  }
  return true;
}

/** Puts a logged slice that was lost into a state from which it can be gone on with. On the calling thread, with the stage of the lost seat. */
export function recoverSlice(memory: WasmMemory, task: PhaseTask, slice: number): void {
  const { phase, operands, control, stages, seat } = task;
  const progress = progressOf(control, slice);
  if (progress.stage === STAGE_OF.waiting) return;
  const stage = stages.address + seat * stages.bytes;
  const { first, end } = unitsOf(task, slice);
  let at = 0;
  for (const tile of tilesOf(phase, operands, first, end)) {
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

/** Computes units [first, end) of a phase, with the stage at `stage`. Returns whether it has done all. */
export function runUnits(
  kernels: Kernels,
  phase: Phase,
  operands: Operands,
  first: number,
  end: number,
  stage: number,
  asked = always,
): boolean {
  const { dtype, continues } = operands;
  const there = inArena(operands);
  if (there !== undefined) {
    return compute(kernels, phase, dtype, there, first, end - first, stage, continues, undefined, asked);
  }
  for (const tile of tilesOf(phase, operands, first, end)) {
    const staged = load(kernels.memory, phase, tile, operands, stage);
    const adds = addsToSums(tile, operands);
    const { phase: part, first, count, pitch } = tile;
    if (!compute(kernels, part, dtype, staged.addresses, first, count, stage, adds, pitch, asked)) return false;
    store(kernels.memory, tile, operands, staged);
  }
  return true;
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
 * @param asked whether to go on, where it takes long. Returns whether it has.
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
  asked = always,
): boolean {
  if (!asked()) return false;
  const { x, g, y, weight, bias, table, statistics, means, partials, moments } = addresses;
  const columns = stage + STAGE_COLUMNS;
  const kernel = dtype === "float64" ? kernels.float64 : kernels.float32;
  kernels.setCells(dtype, stage);
  switch (phase.kind) {
    case "normalize": {
      const { length, groups, run, eps } = phase;
      const measure = MEASURE_CODES[phase.measure];
      kernel.normalizeSets(x, y, first, count, length, groups, run, weight, bias, eps, moments, measure);
      return true;
    }
    case "moments":
      switch (phase.layout) {
        case "stretches":
          kernel.momentsStretches(x, partials, first, count, phase.length, phase.centred);
          return true;
        case "runs": {
          const { length, groups, rows, perSegment } = phase;
          kernel.momentsRuns(x, partials, first, count, length, groups, rows, perSegment);
          return true;
        }
        case "columns":
          for (let unit = first; unit < first + count; unit++) {
            if (!asked()) return false;
            const { at, segment, rows, width } = columnUnit(phase, unit);
            const cells = x + at * CELL_BYTES[dtype];
            kernel.momentsColumns(cells, partials + segment * PAIR_BYTES, rows, width, phase.width, columns);
          }
          return true;
      }
      break;
    case "apply":
      switch (phase.layout) {
        case "stretches":
          kernel.applyStretches(x, y, first, count, phase.length, phase.period, phase.rows, table);
          return true;
        case "cells":
          kernel.applySetCells(x, y, first, count, phase.length, phase.groups, table, weight, bias);
          return true;
        case "columns":
          kernel.applyColumns(x, y, first, count, phase.width, phase.rows, table, weight, bias);
          return true;
      }
      break;
    case "reduce":
      switch (phase.layout) {
        case "stretches": {
          const { length, period, perSet, rows } = phase;
          kernel.reduceStretches(x, g, partials, first, count, length, period, perSet, rows, statistics, weight);
          return true;
        }
        case "runs": {
          const { length, period, perSet, rows, perSegment } = phase;
          kernel.reduceRuns(x, g, partials, first, count, length, period, perSet, rows, perSegment, statistics);
          return true;
        }
        case "columns":
          for (let unit = first; unit < first + count; unit++) {
            if (!asked()) return false;
            const { at, segment, entry, row, rows, width } = columnUnit(phase, unit);
            const bytes = at * CELL_BYTES[dtype];
            const rowWeights = weight === NONE ? NONE : weight + row * NUMBER_BYTES;
            const sums = partials + segment * PAIR_BYTES;
            const mean = means + entry * NUMBER_BYTES;
            kernel.reduceColumns(x + bytes, g + bytes, sums, rows, width, phase.width, mean, columns, rowWeights);
          }
          return true;
      }
      break;
    case "sumRows":
      kernel.sumRows(x, g, partials, first, count, phase.width, phase.rows, table);
      return true;
    case "accumulate": {
      const { samples, perBlock, length, groups } = phase;
      const cells = groups * length;
      const tiles = columnTilesOf(cells);
      for (let unit = first; unit < first + count; unit++) {
        if (!asked()) return false;
        const sample = Math.floor(unit / tiles) * perBlock;
        const start = (unit % tiles) * COLUMN_TILE;
        const weights = partials + Math.floor(unit / tiles) * cells * PAIR_BYTES;
        const biases = weights + cells * NUMBER_BYTES;
        const high = Math.min(perBlock, samples - sample);
        const wide = Math.min(COLUMN_TILE, cells - start);
        const row = pitch ?? cells;
        kernel.accumulate(x, g, sample, high, start, wide, length, groups, row, continues, statistics, weights, biases);
      }
      return true;
    }
    case "propagate":
      switch (phase.layout) {
        case "stretches":
          kernel.propagateStretches(x, g, y, first, count, phase.length, phase.period, phase.rows, table);
          return true;
        case "cells":
          kernel.propagateSetCells(x, g, y, first, count, phase.length, phase.groups, table, weight);
          return true;
        case "columns":
          kernel.propagateColumns(x, g, y, first, count, phase.width, phase.rows, table, weight);
          return true;
      }
      break;
    case "differentiate": {
      const { setsPerUnit, sets, length, groups, run, eps, byCell, together } = phase;
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
        together,
        continues,
        statistics,
        partials,
      );
      return true;
    }
    case "response":
      return respond(kernel, phase, addresses, first, count, stage + STAGE_BYTES, asked);
  }
  return true;
}

/** A unit of many channels takes long: it is computed a piece of each step at a time. */
function respond(
  kernel: Arithmetic,
  { channels, space, tile, before, after, factor, beta, k, back }: Extract<Phase, { kind: "response" }>,
  { x, g, y }: Addresses,
  first: number,
  count: number,
  scratch: number,
  asked: GoesOn,
): boolean {
  const run = (unit: number, units: number, steps: number, from: number, to: number) =>
    kernel.respond(
      x,
      g,
      y,
      unit,
      units,
      channels,
      space,
      tile,
      before,
      after,
      factor,
      beta,
      k,
      back,
      scratch,
      steps,
      from,
      to,
    );
  if (channels <= RESPONSE_PIECE) {
    const perPiece = Math.max(1, Math.floor(RESPONSE_PIECE / (channels * tile)));
    for (let unit = 0; unit < count; unit += perPiece) {
      if (!asked()) return false;
      run(first + unit, Math.min(perPiece, count - unit), ALL_RESPONSE_STEPS, 0, channels);
    }
    return true;
  }
  for (let unit = first; unit < first + count; unit++) {
    for (const { code, ends } of RESPONSE_STEPS) {
      for (let done = 0; done < channels; done += RESPONSE_PIECE) {
        if (!asked()) return false;
        const next = Math.min(channels, done + RESPONSE_PIECE);
        run(unit, 1, code, ends ? channels - next : done, ends ? channels - done : next);
      }
    }
  }
  return true;
}
