import { type Operands, type Phase, sliceCount } from "../src/protocol.js";
import type { Kernels } from "./kernels.js";

const CELL_BYTES = 4;
const MOMENTS_BYTES = 16;

/** Computes one slice of a phase. The same on a worker and on the calling thread. */
export function runSlice(kernels: Kernels, phase: Phase, operands: Operands, slice: number): void {
  const { x, y, weight, bias, table, partials, moments } = operands;
  const first = slice * phase.unitsPerSlice;
  const count = Math.min(phase.unitsPerSlice, phase.units - first);
  switch (phase.kind) {
    case "normalize": {
      const { length, groups, run, eps, centred } = phase;
      kernels.normalizeF32Sets(x, y, first, count, length, groups, run, weight, bias, eps, moments, centred);
      return;
    }
    case "moments":
      switch (phase.layout) {
        case "sets":
          kernels.momentsF32Sets(x, partials, first, count, phase.length, phase.centred);
          return;
        case "runs": {
          const { length, groups, samples, perSegment } = phase;
          kernels.momentsF32Runs(x, partials, first, count, length, groups, samples, perSegment);
          return;
        }
        case "columns": {
          const { samples, width, perSegment, tile } = phase;
          const tiles = Math.ceil(width / tile);
          for (let unit = first; unit < first + count; unit++) {
            const block = Math.floor(unit / tiles);
            const row = block * perSegment;
            const column = (unit % tiles) * tile;
            kernels.momentsF32Columns(
              x + (row * width + column) * CELL_BYTES,
              partials + (block * width + column) * MOMENTS_BYTES,
              Math.min(perSegment, samples - row),
              Math.min(tile, width - column),
              width,
            );
          }
          return;
        }
      }
      break;
    case "apply":
      switch (phase.layout) {
        case "runs":
          kernels.applyF32Runs(x, y, first, count, phase.length, phase.period, table);
          return;
        case "cells":
          kernels.applyF32SetCells(x, y, first, count, phase.length, phase.groups, table, weight, bias);
          return;
        case "columns":
          kernels.applyF32Columns(x, y, first, count, phase.width, table);
          return;
      }
      break;
    case "double": {
      const at = first * phase.length * CELL_BYTES;
      kernels.doubleF32Run(x + at, y + at, count * phase.length);
    }
  }
}

/** Computes a whole phase on this thread. */
export function runInline(kernels: Kernels, phase: Phase, operands: Operands): void {
  const slices = sliceCount(phase);
  for (let slice = 0; slice < slices; slice++) runSlice(kernels, phase, operands, slice);
}
