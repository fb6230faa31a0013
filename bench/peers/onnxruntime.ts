// onnxruntime-node: a model of one node for each call.
import type { Call } from "./calls.js";
import { CHANNELS, EPS, GROUPS, WIDTH } from "./calls.js";
import { load } from "./load.js";
import { encodeModel, type OnnxNode } from "./onnx-model.js";
import type { Inputs, Peer, PeerCall } from "./peer.js";

interface Runtime {
  readonly InferenceSession: {
    create(model: Uint8Array, options: { intraOpNumThreads: number }): Promise<Session>;
  };
  readonly Tensor: new (type: "float32", data: Float32Array, shape: readonly number[]) => object;
}

interface Session {
  run(feeds: { readonly x: object }): Promise<{ readonly y: { readonly data: Float32Array } }>;
  release(): Promise<void>;
}

const ones = (length: number) => new Float32Array(length).fill(1);
const zeros = (length: number) => new Float32Array(length);

const NODES: Readonly<Record<string, Omit<OnnxNode, "shape">>> = {
  LayerNorm: {
    operator: "LayerNormalization",
    opset: 17,
    parameters: [ones(WIDTH), zeros(WIDTH)],
    attributes: { axis: 1, epsilon: EPS },
  },
  RMSNorm: {
    operator: "RMSNormalization",
    opset: 23,
    parameters: [ones(WIDTH)],
    attributes: { axis: 1, epsilon: EPS },
  },
  GroupNorm: {
    operator: "GroupNormalization",
    opset: 21,
    parameters: [ones(CHANNELS), zeros(CHANNELS)],
    attributes: { num_groups: GROUPS, epsilon: EPS },
  },
  InstanceNorm: {
    operator: "InstanceNormalization",
    opset: 17,
    parameters: [ones(CHANNELS), zeros(CHANNELS)],
    attributes: { epsilon: EPS },
  },
  "BatchNorm evaluation": {
    operator: "BatchNormalization",
    opset: 17,
    parameters: [ones(CHANNELS), zeros(CHANNELS), zeros(CHANNELS), ones(CHANNELS)],
    attributes: { epsilon: EPS },
  },
};

/** Throws where it is not installed. */
export async function startOnnxRuntime(): Promise<Peer> {
  const { library, version } = await load<Runtime>("onnxruntime-node");
  return {
    name: "onnxruntime-node",
    version,
    hasThreads: true,
    prepare: (call, inputs, threads) => prepare(library, call, inputs, threads),
    close: async () => {},
  };
}

async function prepare(
  runtime: Runtime,
  call: Call,
  { shape, x }: Inputs,
  threads: number,
): Promise<PeerCall | undefined> {
  const node = NODES[call.name];
  if (node === undefined) return undefined;
  const session = await runtime.InferenceSession.create(encodeModel({ ...node, shape }), {
    intraOpNumThreads: threads,
  });
  const feeds = { x: new runtime.Tensor("float32", x, shape) };
  return {
    result: async () => (await session.run(feeds)).y.data,
    run: () => session.run(feeds),
    end: () => session.release(),
  };
}
