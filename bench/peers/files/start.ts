// The peers that standardise files, and how each is started.
import { fileURLToPath } from "node:url";
import type { FileFormat } from "../../file-peers.js";
import { Conversation } from "../conversation.js";

export interface FilePeer {
  readonly name: string;
  readonly format: FileFormat;
  /** Whether it takes a number of threads; if not it always has one. */
  readonly hasThreads: boolean;
  start(options: { readonly python: string; readonly threads: number }): Conversation;
}

const PROGRAM = fileURLToPath(new URL("program.js", import.meta.url));
const SCRIPT = fileURLToPath(new URL("../../../../bench/peers/standardise.py", import.meta.url));

const node = (name: string, threads: number) =>
  new Conversation(process.execPath, [PROGRAM, name], { POLARS_MAX_THREADS: String(threads) });
const script = (name: string, python: string) => new Conversation(python, ["-B", SCRIPT, name]);

export const NORMPOOL: FilePeer = {
  name: "normpool",
  format: ".npy",
  hasThreads: true,
  start: ({ threads }) => node("normpool", threads),
};

export const FILE_PEERS: readonly FilePeer[] = [
  { name: "scikit-learn", format: ".npy", hasThreads: false, start: ({ python }) => script("scikit-learn", python) },
  { name: "NumPy by chunks", format: ".npy", hasThreads: false, start: ({ python }) => script("numpy", python) },
  { name: "DuckDB", format: "Parquet", hasThreads: true, start: ({ threads }) => node("duckdb", threads) },
  { name: "nodejs-polars", format: "Parquet", hasThreads: true, start: ({ threads }) => node("polars", threads) },
];
