// Results of a bench that nobody ran, on two threads: every section that the page draws.
import { KERNELS } from "../bench/kernels.js";
import { SERIES } from "../bench/latency.js";
import { PEERS } from "../bench/peers.js";
import type { Results } from "../bench/results.js";
import { LIMIT } from "../bench/roofline.js";
import { timingOf } from "../bench/samples.js";

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

/** @param error of the model, as a share of what was measured. */
export function madeUpResults({ quick = false, error = 0.1 } = {}): Results {
  const latency = SERIES.flatMap((series, i) =>
    [16, 1024].map((rows) => ({ shape: [rows, 768], bytes: rows * 3072, series, time: at(0.008 * rows * (i + 1)) })),
  );
  return {
    schema: 1,
    machine: MACHINE,
    threads: 2,
    quick,
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
      leftOut: [],
    },
  };
}
