// Runs one call's phases where the call is placed: on the calling thread, on it and the workers, or on the workers.
import { claimSlices } from "../../workers/claim.js";
import type { Operands } from "../../workers/operands.js";
import { runSlice, runUnits } from "../../workers/phase.js";
import { stageBytesOf } from "../../workers/scratch.js";
import { stagedBytesOf } from "../../workers/staging.js";
import type { PhaseTask, Stages } from "../../workers/task.js";
import { stagedSlices } from "../../workers/tiles.js";
import type { Dtype } from "../plan/cells.js";
import type { Phase } from "../plan/phase.js";
import { phasesOf } from "../plan/plan.js";
import { type Slices, sliceCount, slicesOf } from "../plan/slices.js";
import { isMerged, roundsOf, type Stripe } from "../plan/stripes.js";
import type { Watchers } from "./call.js";
import type { Executor } from "./executor.js";
import type { Placement } from "./placement.js";
import type { Job } from "./work.js";

interface RunnerOptions {
  readonly operation: string;
  /** Of the whole tensor. */
  readonly cells: number;
  readonly dtype: Dtype;
  /** All that will be run, of the largest stripe. */
  readonly phases: readonly Phase[];
  readonly backward: boolean;
  /** Whether tiles are staged. */
  readonly staged: boolean;
  readonly watchers: Watchers;
}

export class Runner {
  readonly #executor: Executor;
  readonly #options: RunnerOptions;
  readonly #placement: Placement;
  readonly #ticket: number;
  readonly #stages: Stages;
  #before = 0;
  #total = 0;

  constructor(executor: Executor, options: RunnerOptions) {
    const { operation, cells, dtype, phases, backward, staged, watchers } = options;
    const watched = watchers.signal !== undefined || watchers.onProgress !== undefined;
    this.#executor = executor;
    this.#options = options;
    this.#placement = executor.placer(cells, phases, watched);
    this.#ticket = executor.jobs.ticket();
    const bytesOf = staged ? stagedBytesOf : stageBytesOf;
    const bytes = phases.map((phase) => bytesOf(phase, dtype, backward));
    this.#stages = executor.stages.hold(operation, Math.max(0, ...bytes));
  }

  /** Counts the slices of all phases, for progress reports. */
  countSlices(stripes: Iterable<Stripe>, stripeBytes: number): void {
    for (const { plan } of stripes) {
      for (const phase of phasesOf(plan)) {
        const rounds = isMerged(phase) ? roundsOf(phase, stripeBytes) : [{ from: 0, to: phase.units }];
        for (const { from, to } of rounds) this.#total += sliceCount(this.#slicesOf(phase, from, to));
      }
    }
  }

  /** Computes units [from, to) of a phase: at once, or as a promise. */
  run(phase: Phase, operands: Operands, from = 0, to = phase.units): Promise<void> | undefined {
    const { kernels, jobs, threads } = this.#executor;
    const stages = this.#stages;
    if (this.#placement === "calling thread") {
      runUnits(kernels, phase, operands, from, to, stages.address + threads * stages.bytes);
      return undefined;
    }
    const slices = this.#slicesOf(phase, from, to);
    const job = {
      operation: this.#options.operation,
      ticket: this.#ticket,
      slices: sliceCount(slices),
      taskFor: (control: SharedArrayBuffer, seat: number): PhaseTask => ({
        phase,
        slices,
        operands,
        control,
        stages: { address: stages.address, bytes: stages.bytes },
        seat,
      }),
    };
    if (this.#placement === "shared") {
      return jobs.share(job, (control, seat) => {
        const task = job.taskFor(control, seat);
        claimSlices(task, (slice) => runSlice(kernels, task, slice));
      });
    }
    return this.#onWorkers(job, phase);
  }

  /** Gives back what the call's phases needed. */
  end(): void {
    this.#executor.stages.release(this.#stages);
  }

  async #onWorkers(job: Job, { kind }: Phase): Promise<void> {
    const { signal, onProgress } = this.#options.watchers;
    const [before, total] = [this.#before, this.#total];
    const onDone = onProgress && ((slices: number) => onProgress({ phase: kind, done: before + slices, total }));
    await this.#executor.jobs.run(job, { signal, onDone });
    this.#before += job.slices;
  }

  #slicesOf(phase: Phase, from: number, to: number): Slices {
    const { staged, dtype } = this.#options;
    const { slicer, threads } = this.#executor;
    if (slicer !== undefined) return slicer(phase, from, to);
    return staged ? stagedSlices(phase, dtype, threads, from, to) : slicesOf(phase, from, to);
  }
}
