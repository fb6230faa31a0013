// tfjs with its backend of WebAssembly SIMD. It has threads in browsers only.
import { type Call, CHANNELS, EPS } from "./calls.js";
import { load } from "./load.js";
import type { Inputs, Peer, PeerCall } from "./peer.js";

interface Tensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

interface TensorFlow {
  setBackend(name: "wasm"): Promise<boolean>;
  ready(): Promise<void>;
  tensor(data: Float32Array, shape: readonly number[]): Tensor;
  ones(shape: readonly number[]): Tensor;
  zeros(shape: readonly number[]): Tensor;
  moments(x: Tensor, axis: number, keepDims: boolean): { readonly mean: Tensor; readonly variance: Tensor };
  sub(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  add(a: Tensor, b: number): Tensor;
  rsqrt(a: Tensor): Tensor;
  batchNorm(x: Tensor, mean: Tensor, variance: Tensor, offset: Tensor, scale: Tensor, epsilon: number): Tensor;
  tidy(compute: () => Tensor): Tensor;
}

/** Throws where it is not installed. */
export async function startTfjs(): Promise<Peer> {
  const { library, version } = await load<TensorFlow>("@tensorflow/tfjs");
  await load<unknown>("@tensorflow/tfjs-backend-wasm");
  if (!(await library.setBackend("wasm"))) throw new Error("its backend wasm does not start");
  await library.ready();
  return {
    name: "tfjs (wasm)",
    version,
    hasThreads: false,
    prepare: async (call, inputs) => prepare(library, call, inputs),
    close: async () => {},
  };
}

function prepare(tf: TensorFlow, call: Call, { shape, x }: Inputs): PeerCall | undefined {
  const compute = computationOf(tf, call.name);
  if (compute === undefined) return undefined;
  const input = tf.tensor(x, shape);
  const run = () => tf.tidy(() => compute(input));
  return {
    result: async () => {
      const y = run();
      const data = await y.data();
      y.dispose();
      return data;
    },
    run: async () => run().dispose(),
    end: async () => input.dispose(),
  };
}

function computationOf(tf: TensorFlow, name: string): ((x: Tensor) => Tensor) | undefined {
  if (name === "LayerNorm") {
    return (x) => {
      const { mean, variance } = tf.moments(x, 1, true);
      return tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, EPS)));
    };
  }
  if (name === "BatchNorm evaluation, channels last") {
    const [zeros, ones] = [tf.zeros([CHANNELS]), tf.ones([CHANNELS])];
    return (x) => tf.batchNorm(x, zeros, ones, zeros, ones, EPS);
  }
  return undefined;
}
