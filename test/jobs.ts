// Jobs of the tests that drive the queue themselves: LayerNorm of rows in an arena.

import type { Phase } from "../src/plan/phase.js";
import { sliceCount, slicesOf } from "../src/plan/slices.js";
import type { Job } from "../src/run/work.js";
import { claimSlices } from "../workers/claim.js";
import type { Control } from "../workers/control.js";
import type { Kernels } from "../workers/kernels.js";
import { NO_PARAMETERS, NO_RESULTS, NO_TABLES } from "../workers/operands.js";
import { runSlice } from "../workers/phase.js";
import type { PhaseTask } from "../workers/task.js";

interface Rows {
  readonly rows: number;
  readonly width: number;
  /** Rows of a slice. Default: as a call has it. */
  readonly perSlice?: number;
  /** Addresses. */
  readonly x: number;
  readonly y: number;
}

/** @param kernels the calling thread's, if it may be asked to compute. */
export function phaseJob(ticket: number, { rows, width, perSlice, x, y }: Rows, kernels?: Kernels): Job {
  const phase: Phase = {
    kind: "normalize",
    units: rows,
    length: width,
    groups: 1,
    run: width,
    eps: 1e-5,
    measure: "deviation",
  };
  const slices = { ...slicesOf(phase), ...(perSlice !== undefined && { perSlice }) };
  const taskFor = (control: Control, seat: number): PhaseTask => ({
    phase,
    slices,
    operands: {
      dtype: "float32",
      tensors: { x: { kind: "arena", address: x }, g: null, y: { kind: "arena", address: y } },
      window: null,
      tileBytes: { cells: 0, columns: 0 },
      parameters: NO_PARAMETERS,
      tables: NO_TABLES,
      results: NO_RESULTS,
      continues: false,
    },
    control,
    stages: { address: 0, bytes: 0 },
    seat,
    logged: false,
  });
  const claim = (control: Control, seat: number, most: number) => {
    if (kernels === undefined) throw new Error("not on the calling thread");
    const task = taskFor(control, seat);
    claimSlices(task, (slice) => runSlice(kernels, task, slice), most);
  };
  const slicesOfJob = sliceCount(slices);
  return {
    operation: "test",
    ticket,
    phase: "normalize",
    slices: slicesOfJob,
    overwrites: x === y,
    taskFor,
    claim,
  };
}
