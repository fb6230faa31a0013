// normpool beside each peer: the same numbers, first compared, then timed in turn.
import { NormPool, type Shape, type Tensor } from "../../src/index.js";
import { fill } from "../cells.js";
import { PEERS, type PeerRow, type PeersResult } from "../peers.js";
import { type Candidate, medianRatio, sampleInTurn, timingOf } from "../samples.js";
import { checkAgreement } from "./agreement.js";
import { CALLS, type Call } from "./calls.js";
import { measureFilePeers } from "./files/measure.js";
import { startOnnxRuntime } from "./onnxruntime.js";
import { messageOf, type Peer, type PeerCall, type PeersOptions } from "./peer.js";
import { startTfjs } from "./tfjs.js";
import { startTorch } from "./torch.js";

const LARGEST = 256 << 20;
/** Tensors that normpool, two PyTorch, onnxruntime and tfjs have at once. */
const TENSORS = 24;
const ROUNDS = 7;
/** Of one call with all its peers, in milliseconds: tfjs takes seconds. */
const BUDGET = 15_000;
/** A first call finds its own threads asleep, and those of the peer before it still spinning for work: the second one is timed. */
const CALLS_A_SAMPLE = 2;
const OURS = "normpool";
/** Of the time of all. The rest is files'. */
const CALLS_SHARE = 0.6;

export async function measurePeers(options: PeersOptions): Promise<PeersResult> {
  const { threads, quick, memory, onShare, signal, python } = options;
  const leftOut: string[] = [];
  const peers: Peer[] = [];
  const starts = [
    () => startTorch(python, false),
    () => startTorch(python, true),
    () => startOnnxRuntime(),
    () => startTfjs(),
  ];
  for (const [i, start] of starts.entries()) {
    await start().then(
      (peer) => peers.push(peer),
      (error) => leftOut.push(`${PEERS[i]}: ${messageOf(error)}`),
    );
  }
  const possible = quick ? LARGEST / 32 : Math.min(LARGEST, memory / TENSORS);
  const share = 2 ** Math.max(-5, Math.floor(Math.log2(possible / LARGEST)));
  const rows: PeerRow[] = [];
  const counts = [...new Set([1, threads])];
  try {
    for (const [i, call] of (peers.length > 0 ? CALLS : []).entries()) {
      for (const [j, count] of counts.entries()) {
        signal?.throwIfAborted();
        // A peer without threads is compared once, with all of normpool's.
        const own = peers.filter(({ hasThreads }) => hasThreads || count === threads);
        rows.push(...(await compare(call, call.shape(share), own, count, quick ? 1 : ROUNDS, leftOut)));
        onShare(((i + (j + 1) / counts.length) / CALLS.length) * CALLS_SHARE);
      }
    }
  } finally {
    for (const peer of peers) await peer.close();
  }
  const versions = peers.map(({ name, version }) => `${name} ${version}`);
  const files = await measureFilePeers(options, leftOut);
  return {
    rounds: quick ? 1 : ROUNDS,
    bytes: share * LARGEST,
    versions,
    rows,
    ...(files && { files }),
    leftOut: [...new Set(leftOut)],
  };
}

async function compare(
  call: Call,
  shape: Shape,
  peers: readonly Peer[],
  threads: number,
  rounds: number,
  leftOut: string[],
): Promise<PeerRow[]> {
  const pool = new NormPool({ threads });
  const prepared = new Map<Peer, PeerCall>();
  try {
    const [x, g] = [pool.tensor("float32", shape), pool.tensor("float32", shape)];
    fill(x, "x");
    fill(g, "g");
    const ours = await ownCall(pool, call, x, g);
    // Peers take no shared memory.
    const inputs = { shape, x: new Float32Array(x.data), g: new Float32Array(g.data) };
    const expected = await ours();
    for (const peer of peers) {
      try {
        const found = await peer.prepare(call, inputs, threads);
        if (found === undefined) continue;
        prepared.set(peer, found);
        checkAgreement(await found.result(), expected.data);
      } catch (error) {
        leftOut.push(`${peer.name}, ${call.name}: ${messageOf(error)}`);
        await prepared.get(peer)?.end();
        prepared.delete(peer);
      }
    }
    expected.dispose();
    if (prepared.size === 0) return [];
    const candidates: Candidate[] = [{ name: OURS, run: async () => (await ours()).dispose() }];
    for (const [peer, { run }] of prepared) candidates.push({ name: peer.name, run });
    const started = performance.now();
    const enough = (round: number) => round >= rounds || performance.now() - started > BUDGET;
    const samples = await sampleInTurn(candidates, enough, { calls: CALLS_A_SAMPLE });
    const own = samples.get(OURS) ?? [];
    return [...prepared.keys()].map(({ name, hasThreads }) => {
      const theirs = samples.get(name) ?? [];
      const atLeast = call.atLeast[name];
      return {
        call: call.name,
        peer: name,
        threads,
        peerThreads: hasThreads ? threads : 1,
        peerTime: timingOf(theirs),
        normpoolTime: timingOf(own),
        ratio: medianRatio(theirs, own),
        ...(atLeast !== undefined && { atLeast }),
      };
    });
  } finally {
    for (const { end } of prepared.values()) await end();
    await pool.close();
  }
}

/** As users call it: the result is a new tensor. */
async function ownCall(pool: NormPool, call: Call, x: Tensor<"float32">, g: Tensor<"float32">) {
  const layer = call.make();
  const { channelAxis } = call;
  if (call.backward !== true) return () => pool.forward(layer, x, { channelAxis });
  const moments = await pool.momentsOf(layer, x);
  return async () => (await pool.backward(layer, { input: x, gradOutput: g, moments })).gradInput;
}
