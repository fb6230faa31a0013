// The charts of other libraries: their time by normpool's.
import { PEERS, type PeersResult } from "../peers.js";
import type { Undrawn } from "./draw.js";
import { entryOf } from "./legend.js";

const TITLES = { forward: "Forward", backward: "Backward" } as const;

export function peersPictures({ rows }: PeersResult): Undrawn[] {
  const most = Math.max(...rows.map(({ threads }) => threads));
  const shown = rows.filter(
    ({ threads, peer }) => threads === most || rows.every((row) => row.peer !== peer || row.threads < most),
  );
  const ratios = [1, ...shown.map(({ ratio }) => ratio)];
  const numbers = { lowest: Math.min(...ratios), highest: Math.max(...ratios) };
  return (["forward", "backward"] as const).flatMap((way) => {
    const own = shown.filter(({ call }) => call.endsWith("backward") === (way === "backward"));
    if (own.length === 0) return [];
    const faster = own.filter(({ ratio }) => ratio > 1).length;
    return {
      section: "peers",
      title: TITLES[way],
      alone: `${TITLES[way]}: other libraries' time by normpool's`,
      found: `normpool is the faster one in ${faster} of ${own.length} comparisons.`,
      how: `Right of the line at 1 normpool is faster. Both run on ${most} threads where the other library has threads.`,
      chart: `peers-${way}`,
      points: own.map(({ call, peer, ratio }) => ({ x: ratio, y: call, series: peer })),
      numbers,
      legend: PEERS.filter((peer) => own.some((row) => row.peer === peer)).map((peer) => entryOf(peer, "point")),
    };
  });
}
