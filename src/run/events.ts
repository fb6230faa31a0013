// What others can watch a pool by: diagnostics channels, and NODE_DEBUG=normpool, which prints the same. Nothing is made where nobody listens.
import { channel } from "node:diagnostics_channel";
import { debuglog } from "node:util";
import type { Phase } from "../plan/phase.js";

/** A call, on channel `normpool:call:start`; the same object on `normpool:call:end`, with what is known then. */
export interface CallEvent {
  /** As errors name it. */
  readonly operation: string;
  readonly cells: number;
  /** At the end: milliseconds since the start. */
  took?: number;
  /** At the end, of a call that failed. */
  error?: unknown;
}

/** A phase of a call, on channel `normpool:phase:start`; the same object on `normpool:phase:end`. */
export interface PhaseEvent {
  readonly operation: string;
  readonly phase: Phase["kind"];
  readonly slices: number;
  /** At the end: milliseconds since the start. */
  took?: number;
}

const CHANNELS = {
  "call:start": channel("normpool:call:start"),
  "call:end": channel("normpool:call:end"),
  "phase:start": channel("normpool:phase:start"),
  "phase:end": channel("normpool:phase:end"),
} as const;
const CHANNEL_LIST = Object.values(CHANNELS);

interface Events {
  readonly "call:start": CallEvent;
  readonly "call:end": CallEvent;
  readonly "phase:start": PhaseEvent;
  readonly "phase:end": PhaseEvent;
}

const debug = debuglog("normpool");

/** Whether anybody is to be told. */
export function isWatched(): boolean {
  return debug.enabled || CHANNEL_LIST.some(({ hasSubscribers }) => hasSubscribers);
}

export function tell<E extends keyof Events>(event: E, message: Events[E]): void {
  CHANNELS[event].publish(message);
  if (debug.enabled) debug("%s %o", event, message);
}
