// What the section peers found: other libraries' calls beside normpool's.
import { describeFilePeers, type FilePeersResult } from "./file-peers.js";
import type { Timing } from "./samples.js";
import { formatBytes, type SectionText } from "./text.js";

export const PEERS = ["PyTorch as installed", "PyTorch, memory reused", "onnxruntime-node", "tfjs (wasm)"] as const;

export interface PeerRow {
  /** What both compute. */
  readonly call: string;
  readonly peer: (typeof PEERS)[number];
  readonly threads: number;
  /** 1 where the peer has no threads. */
  readonly peerThreads: number;
  readonly peerTime: Timing;
  readonly normpoolTime: Timing;
  /** The peer's time by normpool's in the same round; the rounds' median. Above 1 normpool is faster. */
  readonly ratio: number;
  /** What normpool is held to. */
  readonly atLeast?: number;
}

export interface PeersResult {
  readonly rounds: number;
  /** Bytes of each input, at most. */
  readonly bytes: number;
  readonly versions: readonly string[];
  readonly rows: readonly PeerRow[];
  /** Absent where there was no peer. */
  readonly files?: FilePeersResult;
  /** Peers and calls that were not measured, and why. */
  readonly leftOut: readonly string[];
}

export function describePeers({ rounds, bytes, versions, rows, files, leftOut }: PeersResult): SectionText {
  const lines = rows.map(({ call, peer, threads, peerThreads, peerTime, normpoolTime, ratio, atLeast }) => [
    call,
    peer,
    threads === peerThreads ? String(threads) : `${threads} against ${peerThreads}`,
    peerTime.median.toFixed(1),
    normpoolTime.median.toFixed(1),
    ratio.toFixed(2),
    atLeast?.toFixed(2) ?? "",
  ]);
  return {
    title: "Peers",
    notes: [
      `${formatBytes(bytes)} float32, milliseconds, medians of up to ${rounds} rounds: ${versions.join(", ") || "none"}. The ratio is the peer's time by normpool's in the same round.`,
      "Results were compared before they were timed.",
    ],
    tables: [
      { rows: [["", "peer", "threads", "peer's ms", "normpool's ms", "ratio", "at least"], ...lines] },
      ...(files ? [describeFilePeers(files)] : []),
    ],
    leftOut,
  };
}
