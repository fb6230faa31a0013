// Results of the bench as text of README.md and performance.md, in the places that the documents mark for it.
import { resolvedOf } from "../bench/at-once.js";
import { GROUPS } from "../bench/cases.js";
import type { ColdResult } from "../bench/cold.js";
import { type LatencyResult, ratioToBest } from "../bench/latency.js";
import type { Machine } from "../bench/machine.js";
import type { MemoryResult } from "../bench/memory.js";
import { PEERS, type PeersResult } from "../bench/peers.js";
import type { Results } from "../bench/results.js";
import { formatThreads } from "../bench/text.js";
import {
  LIMIT,
  LIMIT_IN_PLACE,
  LIMIT_READ,
  PLAIN,
  type ThroughputResult,
  type ThroughputRow,
} from "../bench/throughput.js";

/** By the name of their place. */
export type Texts = Readonly<Record<string, string>>;

/** The document with `texts` in their places, and nothing else changed. A text without a place is an error. */
export function withTexts(document: string, texts: Texts): string {
  return Object.entries(texts).reduce((all, [name, text]) => {
    const place = new RegExp(`(<!-- numbers: [^>]*, ${name} -->\\s*)(?:(?!<!--)[\\s\\S])*?(\\s*<!-- /numbers -->)`);
    if (!place.test(all)) throw new Error(`no place for the numbers of ${name}`);
    return all.replace(place, (_, start: string, end: string) => start + text + end);
  }, document);
}

/** README's: its first sentence with numbers, the table of large tensors, the first call of a process. */
export function readmeTexts({ throughput, cold, machine }: Results): Texts {
  return {
    ...(throughput &&
      hasGroups(throughput, [GROUP]) && {
        sentence: sentenceOf(throughput),
        large: largeOf(throughput),
        run: runOf(machine, throughput),
      }),
    ...(cold && { cold: coldOf(cold) }),
  };
}

/** performance.md's: every group of throughput, small calls, other libraries. */
export function performanceTexts({ throughput, latency, memory, peers, machine }: Results): Texts {
  return {
    ...(throughput &&
      hasGroups(throughput, ALL_GROUPS) && { throughput: groupsOf(throughput), run: runOf(machine, throughput) }),
    ...(latency && memory && { calls: callsOf(latency, memory) }),
    ...(peers && peers.rows.length > 0 && { peers: peersOf(peers, machine) }),
  };
}

const GROUP = "float32";
const ALL_GROUPS = GROUPS.map(({ name }) => name);

/** Part of a table is none: what lacks a group is not written. */
function hasGroups({ rows }: ThroughputResult, groups: readonly string[]): boolean {
  return groups.every((group) => rows.some((row) => row.group === group));
}

/** README's rows, and what it calls them. */
const LARGE: readonly (readonly [name: string, label: string])[] = [
  [LIMIT, "limit: `y = 2x`"],
  ["LayerNorm", "LayerNorm"],
  ["LayerNorm, trained weights", "LayerNorm, trained weights"],
  ["RMSNorm", "RMSNorm"],
  ["GroupNorm(32)", "GroupNorm(32)"],
  ["InstanceNorm2d", "InstanceNorm2d"],
  ["BatchNorm2d eval", "BatchNorm2d, evaluation"],
  [LIMIT_READ, "limit: one read"],
  ["BatchNorm2d training", "BatchNorm2d, training: one read, then `y = 2x`"],
  [LIMIT_IN_PLACE, "limit in place: `x = 2x`"],
  ["LayerNorm in place", "LayerNorm, in place"],
  [PLAIN, PLAIN],
];

function sentenceOf(result: ThroughputResult): string {
  const counts = countsOf(result);
  const most = counts.at(-1) ?? 1;
  const ms = (name: string, threads: number) => `${rowOf(result, GROUP, name, threads)?.time.median.toFixed(0)} ms`;
  const normalise = most === 1 ? "normalises" : "normalise";
  return `${formatThreads(most)} ${normalise} 256 MiB in ${ms("LayerNorm", most)}; plain JavaScript takes ${ms(PLAIN, 1)}, and the machine's own limit, \`y = 2x\`, is ${ms(LIMIT, most)}.`;
}

function largeOf(result: ThroughputResult): string {
  const counts = countsOf(result);
  const rows = LARGE.map(([name, label]) => {
    const all = counts.map((threads) => rowOf(result, GROUP, name, threads));
    const most = all.at(-1);
    const compared = name.startsWith("limit") ? ["", ""] : comparedOf(most);
    return [label, ...all.map(msOf), ...compared, most?.gigabytesPerSecond.toFixed(1) ?? ""];
  });
  return table(["256 MiB float32", ...counts.map(formatThreads), "limit", "times the limit", "GB/s"], rows);
}

function groupsOf(result: ThroughputResult): string {
  const counts = countsOf(result);
  const groups = [...new Set(result.rows.map(({ group }) => group))];
  const tables = groups.map((group) => {
    const own = result.rows.filter((row) => row.group === group && row.threads === counts.at(-1));
    const rows = own
      .filter(({ name }) => !name.startsWith("limit"))
      .map((most) => {
        const all = counts.map((threads) => rowOf(result, group, most.name, threads));
        return [most.name, ...all.map(msOf), ...comparedOf(most), most.atMost?.toFixed(2) ?? ""];
      });
    return table([group, ...counts.map(formatThreads), "limit", "times the limit", "held to"], rows);
  });
  return tables.join("\n\n");
}

function coldOf({ shape, threads, rows }: ColdResult): string {
  const ms = (milliseconds: number) => `${milliseconds.toFixed(0)} ms`;
  const label = { limit: "limit: `y = 2x`", LayerNorm: "LayerNorm" };
  return table(
    [`[${shape.join(", ")}] float32, ${formatThreads(threads)}`, "first call of a process", "second call, with `out`"],
    rows.map(({ kind, first, second }) => [label[kind], ms(first.median), ms(second.median)]),
  );
}

function callsOf(latency: LatencyResult, { allocatedPerCall }: MemoryResult): string {
  const own = (rows: number) => latency.points.find(({ shape, series }) => shape[0] === rows && series === "normpool");
  const [small, middle] = [own(16), own(1024)];
  const { calls, shape } = latency.atOnce;
  const share = resolvedOf(latency.atOnce)[1]?.share ?? Number.NaN;
  return table(
    ["small calls", ""],
    [
      ...(small ? [[`[${small.shape.join(", ")}], a call`, `${(1000 * small.time.median).toFixed(1)} us`]] : []),
      ...(middle
        ? [
            [
              `[${middle.shape.join(", ")}], to the better of one thread and \`y = 2x\` on ${formatThreads(latency.threads)}`,
              ratioToBest(latency, middle.bytes).toFixed(2),
            ],
          ]
        : []),
      [`first of ${calls} calls at once on [${shape.join(", ")}], to the last one's time`, share.toFixed(2)],
      ["garbage a small call", `${allocatedPerCall.toFixed(0)} bytes`],
    ],
  );
}

function peersOf({ rows, versions }: PeersResult, { date }: Machine): string {
  const most = Math.max(...rows.map(({ threads }) => threads));
  const calls = [...new Set(rows.map(({ call }) => call))];
  const lines = calls.map((call) => [
    call,
    ...PEERS.map((peer) => {
      const found = rows.find((row) => row.call === call && row.peer === peer && row.threads === most);
      return found === undefined ? "" : found.ratio.toFixed(found.ratio < 1 ? 2 : found.ratio < 10 ? 1 : 0);
    }),
  ]);
  return `${table(["", ...PEERS], lines)}\n\n${versions.join(", ")}; ${formatThreads(most)}; ${date.slice(0, 10)}.`;
}

/** What a document's numbers belong to. */
function runOf({ cpu, cores, node, date }: Machine, { rounds }: ThroughputResult): string {
  return `Measured on ${date.slice(0, 10)} on ${cores} ${cores === 1 ? "core" : "cores"} of ${cpu} with Node ${node.slice(1)}: medians of ${rounds} rounds.`;
}

function countsOf({ rows }: ThroughputResult): number[] {
  return [...new Set(rows.map(({ threads }) => threads))].sort((a, b) => a - b);
}

function rowOf({ rows }: ThroughputResult, group: string, name: string, threads: number): ThroughputRow | undefined {
  return rows.find((row) => row.group === group && row.name === name && row.threads === threads);
}

function msOf(row: ThroughputRow | undefined): string {
  return row === undefined ? "" : `${row.time.median.toFixed(1)} ms`;
}

/** The limit, and the ratio of what the table shows, so that readers can derive it. */
function comparedOf(row: ThroughputRow | undefined): [limit: string, ratio: string] {
  if (row === undefined) return ["", ""];
  const [time, limit] = [row.time.median, row.limit].map((milliseconds) => Number(milliseconds.toFixed(1))) as [
    number,
    number,
  ];
  return [`${limit.toFixed(1)} ms`, (time / limit).toFixed(2)];
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = header.map((_, i) => (i === 0 ? "---" : "---:"));
  const line = (cells: readonly string[]) => `${cells.map((cell) => (cell === "" ? "| " : `| ${cell} `)).join("")}|`;
  return [header, rule, ...rows].map(line).join("\n");
}
