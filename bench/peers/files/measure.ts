// From file to file: normpool and each peer in a process of its own, first compared, then timed in turn.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FilePeersResult } from "../../file-peers.js";
import { roomFor } from "../../room.js";
import { medianRatio, sampleInTurn, timingOf } from "../../samples.js";
import type { Conversation } from "../conversation.js";
import { messageOf, type PeersOptions } from "../peer.js";
import { writeInput } from "./cells.js";
import { Files, type Prepared, type Running } from "./prepare.js";
import { FILE_PEERS, type FilePeer, NORMPOOL } from "./start.js";

const COLUMNS = 256;
/** 1 GiB of float32. */
const ROWS = 1 << 20;
/** Of a quick run, and where there is no room for more. */
const FEWEST_ROWS = ROWS / 64;
/** Files of one size: the input and two of Parquet, normpool's result, a peer's result and its cells. */
const FILES = 6;
/** What a peer holds in memory, by the input's size, beside the files: they are to stay in the page cache. */
const HELD = 4;
const ROUNDS = 5;
/** Of all rounds, in milliseconds: one takes up to a minute. */
const BUDGET = 180_000;

/** @returns undefined where there is no peer. What is left out is added to `leftOut`. */
export async function measureFilePeers(
  options: PeersOptions,
  leftOut: string[],
  peers: readonly FilePeer[] = FILE_PEERS,
): Promise<FilePeersResult | undefined> {
  const { threads, quick, memory, signal } = options;
  const folder = mkdtempSync(join(tmpdir(), "normpool-bench-"));
  const room = Math.min(roomFor(FILES, folder), memory / (FILES + HELD));
  const job = { rows: quick ? FEWEST_ROWS : rowsWithin(room), columns: COLUMNS, threads };
  const files = new Files(folder, job);
  const conversations: Conversation[] = [];
  try {
    const start = async (peer: FilePeer): Promise<Running> => {
      const conversation = peer.start(options);
      conversations.push(conversation);
      const { version = "" } = await conversation.answer();
      return { peer, version, conversation };
    };
    const leaveOut = ({ name }: FilePeer) => {
      return (error: unknown) => void leftOut.push(`${name}, files: ${messageOf(error)}`);
    };
    const started: Running[] = [];
    for (const peer of peers) await start(peer).then((running) => started.push(running), leaveOut(peer));
    if (started.length === 0) return undefined;

    await writeInput(files.input(NORMPOOL), job.rows, job.columns);
    const normpool = await files.prepare(await start(NORMPOOL));
    const prepared: Prepared[] = [];
    for (const running of started) {
      signal?.throwIfAborted();
      const { peer, conversation } = running;
      const ready = async () => {
        if (peer.format === NORMPOOL.format) return files.prepare(running);
        // What it takes to make the input is not to be part of its peak.
        await files.convert(running);
        await conversation.end();
        return files.prepare(await start(peer));
      };
      await ready().then((found) => prepared.push(found), leaveOut(peer));
    }
    if (prepared.length === 0) return undefined;
    files.removeExpected();
    return { ...(await compare(normpool, prepared, options)), shape: [job.rows, job.columns], threads };
  } finally {
    for (const conversation of conversations) await conversation.end();
    rmSync(folder, { recursive: true });
  }
}

async function compare(
  normpool: Prepared,
  prepared: readonly Prepared[],
  { threads, quick, signal }: PeersOptions,
): Promise<Omit<FilePeersResult, "shape" | "threads">> {
  const candidates = [normpool, ...prepared].map(({ peer, run }) => ({
    name: peer.name,
    run: () => {
      signal?.throwIfAborted();
      return run();
    },
  }));
  const started = performance.now();
  const most = quick ? 1 : ROUNDS;
  const enough = (round: number) => round >= most || performance.now() - started > BUDGET;
  // They have run once, to be compared.
  const samples = await sampleInTurn(candidates, enough, { warmUp: 0 });
  const own = samples.get(normpool.peer.name) ?? [];
  const rows = prepared.map(({ peer: { name, format, hasThreads }, version, peak }) => {
    const theirs = samples.get(name) ?? [];
    const peerThreads = hasThreads ? threads : 1;
    return {
      peer: name,
      version,
      format,
      peerThreads,
      peerTime: timingOf(theirs),
      ratio: medianRatio(theirs, own),
      peak,
    };
  });
  return { rounds: own.length, normpoolTime: timingOf(own), normpoolPeak: normpool.peak, rows };
}

/** A power of two. */
function rowsWithin(bytes: number): number {
  return Math.min(ROWS, Math.max(FEWEST_ROWS, 2 ** Math.floor(Math.log2(bytes / (4 * COLUMNS)))));
}
