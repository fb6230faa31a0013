import type { Shape } from "../../src/index.js";
import type { PeerRow } from "../peers.js";
import type { SectionOptions } from "../section.js";
import type { Call } from "./calls.js";

export interface PeersOptions extends SectionOptions {
  /** Python's path or name. */
  readonly python: string;
}

/** What a call is of. */
export interface Inputs {
  readonly shape: Shape;
  readonly x: Float32Array;
  readonly g: Float32Array;
}

/** A call of a peer, ready to be timed. */
export interface PeerCall {
  /** Its result, for all cells. */
  result(): Promise<ArrayLike<number>>;
  /** Computes it again. Returns the milliseconds that this took where the peer measures that itself. */
  run(): Promise<unknown>;
  /** Gives back what the call holds. */
  end(): Promise<void>;
}

export interface Peer {
  readonly name: PeerRow["peer"];
  readonly version: string;
  /** Whether it takes a number of threads; if not it always has one. */
  readonly hasThreads: boolean;
  /** @returns undefined where the peer has no such call. */
  prepare(call: Call, inputs: Inputs, threads: number): Promise<PeerCall | undefined>;
  close(): Promise<void>;
}

export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim().split("\n").at(-1) as string;
}
