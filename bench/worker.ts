// A worker of the limit's threads: as the product's, but for what it does with a slice.
import { workerData } from "node:worker_threads";
import { claimSlices } from "../workers/claim.js";
import type { DoubleTask, LimitData } from "./double.js";
import { computeSlice, instantiateLimit } from "./double.js";

const { memory } = workerData as LimitData;
const kernels = instantiateLimit(memory);

/** The piscina handler. */
export function handle(task: DoubleTask): void {
  claimSlices(task, (slice) => computeSlice(kernels, task, slice));
}
