// Polars: one lazy query that streams from Parquet to Parquet.
import { load } from "../load.js";
import { BLOCK, interleave, readBlocks, takeColumn, writeBlocks } from "./cells.js";
import { columnNames, type FileProgram, type Job } from "./job.js";

interface Polars {
  readonly Float32: object;
  col(name: string): Expression;
  scanParquet(path: string): LazyFrame;
  readParquet(path: string): Frame;
  Series(name: string, values: Float32Array): Series;
  DataFrame(columns: readonly Series[]): Frame;
}

interface Expression {
  mean(): Expression;
  std(): Expression;
  sub(other: Expression): Expression;
  div(other: Expression): Expression;
  mul(other: number): Expression;
  cast(type: object): Expression;
}

interface LazyFrame {
  select(expression: Expression): LazyFrame;
  sinkParquet(path: string, options: object): { collectSync(engine: "auto"): unknown };
}

interface Series {
  toTypedArray(): Float32Array;
}

interface Frame {
  getColumn(name: string): Series;
  writeParquet(path: string, options: object): void;
}

/** It has as many threads as POLARS_MAX_THREADS says when it is loaded. Throws where it is not installed. */
export async function startPolars(): Promise<FileProgram> {
  const { library, version } = await load<Polars>("nodejs-polars");
  return {
    version,
    run: async (job) => standardise(library, job),
    convert: async (job) => convert(library, job),
    cells: (job) => writeBlocks(job.output, resultBlocks(library, job)),
  };
}

function standardise(pl: Polars, { input, output, rows }: Job): number {
  const start = performance.now();
  const all = () => pl.col("*");
  // Its deviation is of a sample, and times a number float64, as all of the result would be then.
  const deviation = all()
    .std()
    .mul(Math.sqrt((rows - 1) / rows))
    .cast(pl.Float32);
  pl.scanParquet(input)
    .select(all().sub(all().mean()).div(deviation))
    .sinkParquet(output, {
      compression: "uncompressed",
      sinkOptions: { syncOnClose: "none", maintainOrder: true, mkdir: false },
    })
    .collectSync("auto");
  return performance.now() - start;
}

function convert(pl: Polars, job: Job): void {
  const { input, output, rows, columns } = job;
  const cells = Array.from({ length: columns }, () => new Float32Array(rows));
  for (const block of readBlocks(input, rows, columns)) {
    for (const [c, column] of cells.entries()) takeColumn(block, c, column, block.first);
  }
  const series = columnNames(job).map((name, c) => pl.Series(name, cells[c] as Float32Array));
  pl.DataFrame(series).writeParquet(output, { compression: "uncompressed" });
}

function* resultBlocks(pl: Polars, job: Job): Generator<Float32Array> {
  const frame = pl.readParquet(job.input);
  const columns = columnNames(job).map((name) => frame.getColumn(name).toTypedArray());
  for (let first = 0; first < job.rows; first += BLOCK) {
    yield interleave(columns, first, Math.min(BLOCK, job.rows - first));
  }
}
