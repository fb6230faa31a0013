// What is in the queue: where a job is and what is to be done of it. No cells and no statistics: JSON has no NaN and no -0.
import { isAbsolute, normalize } from "node:path";
import { describe } from "../../describe.js";
import { InvalidArgumentError } from "../../errors.js";

/** The names of messages. A job's becomes that of its next step by and by; each part has one of its own. */
export type MessageName = "job" | "part";

/** In the order in which they are done. */
const STEPS = ["moments", "merge", "apply", "finish", "remove"] as const;
const PHASES = ["moments", "apply"] as const;

export type Step = (typeof STEPS)[number];

export interface JobMessage {
  /** Absolute: on every machine the same. */
  readonly folder: string;
  /** What is to be done next. */
  readonly step: Step;
}

export interface PartMessage {
  readonly folder: string;
  readonly phase: (typeof PHASES)[number];
  readonly part: number;
}

export function stepAfter(step: Exclude<Step, "remove">): Step {
  return STEPS[STEPS.indexOf(step) + 1] as Step;
}

/** Throws InvalidArgumentError on anything but what normpool put there. */
export function readJobMessage(operation: string, given: unknown): JobMessage {
  const { folder, step } = readFields(operation, given, ["folder", "step"]);
  return { folder: readFolder(operation, folder), step: readName(operation, "step", STEPS, step) };
}

/** Throws InvalidArgumentError on anything but what normpool put there. */
export function readPartMessage(operation: string, given: unknown): PartMessage {
  const { folder, phase, part } = readFields(operation, given, ["folder", "phase", "part"]);
  if (typeof part !== "number" || !Number.isSafeInteger(part) || part < 0) {
    throw new InvalidArgumentError(operation, "part", "a part's number", describe(part));
  }
  return { folder: readFolder(operation, folder), phase: readName(operation, "phase", PHASES, phase), part };
}

function readFields<N extends string>(operation: string, given: unknown, names: readonly N[]): Record<N, unknown> {
  const expected = `an object of ${names.join(", ")}`;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new InvalidArgumentError(operation, "message", expected, describe(given));
  }
  const other = Object.keys(given).find((key) => !(names as readonly string[]).includes(key));
  if (other !== undefined) {
    throw new InvalidArgumentError(operation, "message", `${expected} alone`, `one with ${describe(other)}`);
  }
  return given as Record<N, unknown>;
}

function readFolder(operation: string, folder: unknown): string {
  if (typeof folder === "string" && isAbsolute(folder) && normalize(folder) === folder && !folder.includes("\0")) {
    return folder;
  }
  throw new InvalidArgumentError(operation, "folder", "an absolute path, without . and ..", describe(folder));
}

function readName<T extends string>(operation: string, field: string, names: readonly T[], given: unknown): T {
  const found = names.find((name) => name === given);
  if (found !== undefined) return found;
  throw new InvalidArgumentError(operation, field, `one of ${names.join(", ")}`, describe(given));
}
