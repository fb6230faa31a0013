// DuckDB: one query for the moments, and one for the result, from Parquet to Parquet.
import { load } from "../load.js";
import { interleave, readBlocks, takeColumn, writeBlocks } from "./cells.js";
import { columnNames, type FileProgram, type Job } from "./job.js";

interface DuckDB {
  readonly DuckDBInstance: { create(path: string, options: { threads: string }): Promise<Instance> };
  readonly DuckDBDataChunk: { create(types: readonly object[], rowCount: number): Chunk };
  readonly FLOAT: object;
}

interface Instance {
  connect(): Promise<Connection>;
  closeSync(): void;
}

interface Connection {
  run(sql: string): Promise<unknown>;
  runAndReadAll(sql: string): Promise<{ getRows(): number[][] }>;
  stream(sql: string): Promise<{ fetchChunk(): Promise<Chunk | null> }>;
  createAppender(table: string): Promise<{ appendDataChunk(chunk: Chunk): void; closeSync(): void }>;
  closeSync(): void;
}

interface Chunk {
  readonly rowCount: number;
  getColumnVector(column: number): { readonly items: Float32Array; flush(): void };
}

const AS_PARQUET = "(FORMAT parquet, COMPRESSION uncompressed)";

/** Throws where it is not installed. */
export async function startDuckDB(): Promise<FileProgram> {
  const { library, version } = await load<DuckDB>("@duckdb/node-api");
  /** In a database of its own: it keeps what it has read of a file. */
  const within = async <T>({ threads }: Job, use: (connection: Connection) => Promise<T>): Promise<T> => {
    const instance = await library.DuckDBInstance.create(":memory:", { threads: String(threads) });
    const connection = await instance.connect();
    try {
      return await use(connection);
    } finally {
      connection.closeSync();
      instance.closeSync();
    }
  };
  return {
    version,
    run: (job) => within(job, (connection) => standardise(connection, job)),
    convert: (job) => within(job, (connection) => convert(library, connection, job)),
    cells: (job) => within(job, (connection) => writeBlocks(job.output, resultBlocks(connection, job))),
  };
}

async function standardise(connection: Connection, job: Job): Promise<number> {
  const names = columnNames(job);
  const start = performance.now();
  const moments = names.map((name) => `avg(${name}), stddev_pop(${name})`).join(", ");
  const [row = []] = (await connection.runAndReadAll(`SELECT ${moments} FROM ${quoted(job.input)}`)).getRows();
  const results = names.map((name, c) => {
    // With an exponent a literal is a DOUBLE.
    const [mean, deviation] = [2 * c, 2 * c + 1].map((at) => row[at]?.toExponential());
    return `((${name} - ${mean}) / ${deviation})::FLOAT AS ${name}`;
  });
  await connection.run(
    `COPY (SELECT ${results.join(", ")} FROM ${quoted(job.input)}) TO ${quoted(job.output)} ${AS_PARQUET}`,
  );
  return performance.now() - start;
}

async function convert(library: DuckDB, connection: Connection, job: Job): Promise<void> {
  const { input, output, rows, columns } = job;
  const names = columnNames(job);
  await connection.run(`CREATE TABLE x (${names.map((name) => `${name} FLOAT`).join(", ")})`);
  const appender = await connection.createAppender("x");
  for (const block of readBlocks(input, rows, columns)) {
    const types = names.map(() => library.FLOAT);
    const chunk = library.DuckDBDataChunk.create(types, block.rows);
    for (let c = 0; c < columns; c++) {
      const vector = chunk.getColumnVector(c);
      takeColumn(block, c, vector.items);
      vector.flush();
    }
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
  await connection.run(`COPY x TO ${quoted(output)} ${AS_PARQUET}`);
}

async function* resultBlocks(connection: Connection, { input, columns }: Job): AsyncGenerator<Float32Array> {
  const result = await connection.stream(`SELECT * FROM ${quoted(input)}`);
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    const { rowCount } = chunk;
    const vectors = Array.from({ length: columns }, (_, c) => (chunk as Chunk).getColumnVector(c).items);
    yield interleave(vectors, 0, rowCount);
  }
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", "''")}'`;
}
