// From file to file, in the page cache, beside `cp` and `cat` of the same file: what the system itself takes to move the bytes. In turn.
import { execFile, execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { BatchNorm1d, type Layer, LayerNorm, NormPool } from "../src/index.js";
import { ownPeak } from "./peak.js";
import { roomFor } from "./room.js";
import { sampleInTurn, type Timing, timingOf } from "./samples.js";
import type { SectionOptions } from "./section.js";
import { formatBytes, type SectionText } from "./text.js";

const MIB = 1 << 20;
const BYTES = 1 << 30;
const QUICK_BYTES = 64 * MIB;
const ROUNDS = 5;
/** The input, cp's and a call's. */
const FILES = 3;
/** Of all shapes' rows. */
const STEP = 4 * MIB;

interface FileCase {
  readonly name: string;
  /** For so many cells. */
  shapeOf(cells: number): readonly number[];
  readonly layer: Layer;
  /** How often the input is read beside being copied. */
  readonly reads: 0 | 1;
  /** What it is held to: its time by that of `cp`, and of `cat` for each further read. */
  readonly atMost: number;
}

const NO_RUNNING = { trackRunningStats: false };
const CASES: readonly FileCase[] = [
  { name: "LayerNorm of [N, 256]", shapeOf: (n) => [n / 256, 256], layer: new LayerNorm(256), reads: 0, atMost: 1 },
  {
    name: "BatchNorm of [N, 256], training",
    shapeOf: (n) => [n / 256, 256],
    layer: new BatchNorm1d(256, NO_RUNNING),
    reads: 1,
    atMost: 1.1,
  },
  {
    name: "BatchNorm of [N, 256, 4096], training",
    shapeOf: (n) => [n / (256 * 4096), 256, 4096],
    layer: new BatchNorm1d(256, NO_RUNNING),
    reads: 1,
    atMost: 1.1,
  },
];

interface FileRow {
  readonly name: string;
  readonly shape: readonly number[];
  /** The call alone, in a pool that has its threads, into a new file; and until the file is synced and has its name. */
  readonly call: Timing;
  readonly committed: Timing;
  /** `cp`, and as many `cat` to nothing as the layer reads once more. */
  readonly limit: Timing;
  /** The fastest by the limit's fastest. */
  readonly ratio: number;
  readonly atMost: number;
  /** Of a process that does nothing else, in bytes. */
  readonly peak: number;
}

export interface FilesResult {
  readonly bytes: number;
  readonly rounds: number;
  readonly rows: readonly FileRow[];
}

export async function measureFiles({ threads, quick, onShare, signal }: SectionOptions): Promise<FilesResult> {
  const rounds = quick ? 1 : ROUNDS;
  const folder = mkdtempSync(join(tmpdir(), "normpool-bench-"));
  const room = Math.min(quick ? QUICK_BYTES : BYTES, roomFor(FILES, folder));
  const bytes = Math.floor(room / STEP) * STEP;
  if (bytes === 0) throw new Error(`${folder}: expected room for ${FILES} files of ${formatBytes(STEP)}`);
  await using pool = new NormPool({ threads });
  try {
    const input = join(folder, "x.raw");
    writeCells(input, bytes);
    const rows: FileRow[] = [];
    for (const { name, shapeOf, layer, reads, atMost } of CASES) {
      const shape = shapeOf(bytes / 4);
      const x = await pool.open(input, { dtype: "float32", shape });
      const committed: number[] = [];
      const samples = await sampleInTurn(
        [
          { name: "limit", run: () => copyAndRead(input, join(folder, "copy.raw"), reads) },
          {
            name: "call",
            async run() {
              const start = performance.now();
              using y = await pool.create(join(folder, "y.raw"), "float32", shape);
              await pool.forward(layer, x, { out: y, ...(signal && { signal }) });
              const taken = performance.now() - start;
              await y.commit();
              committed.push(performance.now() - start);
              rmSync(join(folder, "y.raw"));
              return taken;
            },
          },
        ],
        (done) => done === rounds,
      );
      const [limit, call] = ["limit", "call"].map((of) => timingOf(samples.get(of) ?? [])) as [Timing, Timing];
      const ratio = call.fastest / limit.fastest;
      const peak = measureAlone(folder, name, shape, threads);
      rows.push({ name, shape, call, committed: timingOf(committed.slice(-rounds)), limit, ratio, atMost, peak });
      onShare(rows.length / CASES.length);
    }
    return { bytes, rounds, rows };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function describeFiles({ bytes, rounds, rows }: FilesResult): SectionText {
  const lines = rows.map(({ name, call, committed, limit, ratio, atMost, peak }) => [
    name,
    call.fastest.toFixed(0),
    committed.fastest.toFixed(0),
    limit.fastest.toFixed(0),
    ratio.toFixed(2),
    atMost.toFixed(2),
    formatBytes(Math.round(peak / MIB) * MIB),
  ]);
  return {
    title: "Files",
    notes: [
      `from a file of ${formatBytes(bytes)} float32 in the page cache to a new one, milliseconds, the fastest of ${rounds} rounds. The limit is \`cp\` of the file, and one \`cat\` of it`,
      "to nothing where a layer has to read it once more. Committed: synced to the disk, and renamed, which `cp` does not. Peak: memory of a process that does nothing else.",
    ],
    tables: [{ rows: [["", "call", "committed", "limit", "ratio", "at most", "peak"], ...lines] }],
  };
}

async function copyAndRead(from: string, to: string, reads: number): Promise<number> {
  const run = promisify(execFile);
  const start = performance.now();
  await run("cp", [from, to]);
  for (let i = 0; i < reads; i++) await run("sh", ["-c", 'cat "$1" > /dev/null', "sh", from]);
  const taken = performance.now() - start;
  rmSync(to);
  return taken;
}

function writeCells(path: string, bytes: number): void {
  const cells = Float32Array.from({ length: MIB }, (_, i) => 3 + 2 * Math.sin(i * i));
  const file = openSync(path, "w");
  for (let at = 0; at < bytes; at += cells.byteLength) {
    writeSync(file, new Uint8Array(cells.buffer), 0, Math.min(cells.byteLength, bytes - at), at);
  }
  closeSync(file);
}

function measureAlone(folder: string, name: string, shape: readonly number[], threads: number): number {
  const script = fileURLToPath(import.meta.url);
  return Number(execFileSync(process.execPath, [script, folder, name, JSON.stringify(shape), String(threads)]));
}

async function measurePeak(folder: string, name: string, shape: readonly number[], threads: number): Promise<number> {
  await using pool = new NormPool({ threads });
  const { layer } = CASES.find((one) => one.name === name) as FileCase;
  const x = await pool.open(join(folder, "x.raw"), { dtype: "float32", shape });
  using y = await pool.create(join(folder, "peak.raw"), "float32", shape);
  await pool.forward(layer, x, { out: y });
  return ownPeak();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, name, shape, threads] = process.argv.slice(2) as [string, string, string, string];
  console.log(await measurePeak(folder, name, JSON.parse(shape), Number(threads)));
}
