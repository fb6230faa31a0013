// Results of a bench that nobody ran, on two threads: every section.
import { GROUPS } from "../bench/cases.js";
import { KERNELS } from "../bench/kernels.js";
import { SERIES } from "../bench/latency.js";
import { PEERS } from "../bench/peers.js";
import type { Results } from "../bench/results.js";
import { LIMIT } from "../bench/roofline.js";
import { timingOf } from "../bench/samples.js";
import { LIMIT_IN_PLACE, LIMIT_READ, PLAIN, type ThroughputRow } from "../bench/throughput.js";

const SIZES = [4096, 65_536, 1_048_576];
const MACHINE = {
  cpu: "A processor",
  cores: 2,
  memory: 8 * 2 ** 30,
  platform: "linux x64",
  node: "v20.20.2",
  normpool: "0.1.0",
  commit: null,
  date: "2026-01-02T03:04:05.678Z",
};

function at(milliseconds: number) {
  return timingOf([milliseconds, milliseconds]);
}

/** Of every case, each group's limits before it. `times` is how long all take. */
function throughputRows(times: number): ThroughputRow[] {
  return GROUPS.flatMap(({ name: group, cases }) =>
    [1, 2].flatMap((threads) => {
      const row = (name: string, milliseconds: number, limit: number, atMost?: number): ThroughputRow => ({
        group,
        name,
        threads,
        time: at((times * milliseconds) / threads),
        gigabytesPerSecond: 30 * threads,
        limit: (times * limit) / threads,
        ratio: milliseconds / limit,
        ...(atMost !== undefined && { atMost }),
      });
      const limits = [row(LIMIT, 20, 20), row(LIMIT_IN_PLACE, 12, 12), row(LIMIT_READ, 9, 9)];
      const own = cases.map(({ name, inPlace, reads = 0, atMost }, i) => {
        return row(name, 25 + i, (inPlace ? 12 : 20) + 9 * reads, atMost);
      });
      const plain = group === "float32" && threads === 1 ? [row(PLAIN, 300, 20)] : [];
      return [...limits, ...own, ...plain];
    }),
  );
}

/** @param error of the model, as a share of what was measured. */
export function madeUpResults({ quick = false, error = 0.1, times = 1 } = {}): Results {
  const latency = SERIES.flatMap((series, i) =>
    [16, 1024].map((rows) => ({ shape: [rows, 768], bytes: rows * 3072, series, time: at(0.008 * rows * (i + 1)) })),
  );
  return {
    schema: 1,
    machine: MACHINE,
    threads: 2,
    quick,
    throughput: { rounds: 2, rows: throughputRows(times) },
    roofline: {
      threads: 2,
      points: SIZES.flatMap((bytes) => [
        ...KERNELS.map(({ name, family, moved }, i) => ({
          kernel: name,
          family,
          bytes,
          bytesMoved: bytes * moved,
          time: at(((i + 2) * bytes) / 1e7),
        })),
        { kernel: LIMIT, family: "limit" as const, bytes, bytesMoved: bytes * 3, time: at(bytes / 1e7) },
      ]),
      leftOut: [],
    },
    scaling: {
      bytes: 2 ** 28,
      cores: 2,
      rounds: 2,
      limit: [1, 2].map((threads) => ({ threads, time: at(20) })),
      handOver: at(0.1),
      series: ["LayerNorm", "GroupNorm", "BatchNorm training"].map((name) => ({
        name,
        constants: { work: 40, bytes: 3 * 2 ** 28, bandwidth: 4e7, handOver: 0.1 },
        points: [1, 2].map((threads) => ({
          threads,
          time: at(50 / threads),
          predicted: (50 / threads) * (1 + error),
          error,
        })),
        predictions: [4, 6, 8].map((threads) => ({ threads, predicted: 20 })),
        memoryTime: 20,
      })),
    },
    latency: {
      threads: 2,
      rounds: 2,
      points: latency,
      atOnce: { calls: 10, shape: [256, 1024], alone: at(4), first: at(5), middle: at(26), last: at(40) },
    },
    cold: {
      shape: [100_000, 768],
      threads: 2,
      processes: 2,
      rows: (["limit", "LayerNorm"] as const).map((kind) => ({ kind, first: at(700 * times), second: at(50 * times) })),
    },
    memory: { tensors: 2 ** 29, peak: 2 ** 29 + 2 ** 26, bareNode: 2 ** 25, allocatedPerCall: 900 * times },
    files: {
      bytes: 2 ** 30,
      rounds: 2,
      rows: [
        {
          name: "LayerNorm of [N, 256]",
          shape: [2 ** 20, 256],
          call: at(400 * times),
          committed: at(700 * times),
          limit: at(420 * times),
          ratio: 400 / 420,
          atMost: 1,
          peak: 90 * 2 ** 20,
        },
      ],
    },
    peers: {
      rounds: 2,
      bytes: 2 ** 28,
      versions: ["a library 1.0"],
      rows: PEERS.flatMap((peer, i) =>
        ["LayerNorm", "LayerNorm backward"].map((call) => ({
          call,
          peer,
          threads: 2,
          peerThreads: 2,
          peerTime: at(15 * (i + 1)),
          normpoolTime: at(10),
          ratio: 1.5 * (i + 1),
        })),
      ),
      files: {
        shape: [2 ** 20, 256],
        threads: 2,
        rounds: 2,
        normpoolTime: at(2000 * times),
        normpoolPeak: 90 * 2 ** 20,
        rows: [
          {
            peer: "a reader of files",
            version: "2.0",
            format: "Parquet",
            peerThreads: 1,
            peerTime: at(5000 * times),
            ratio: 2.5,
            peak: null,
          },
        ],
      },
      leftOut: [],
    },
  };
}
