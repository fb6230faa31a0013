// The public face as data: every function, with arguments that it takes, in which a test puts others.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as normpool from "../src/index.js";

const { LayerNorm, BatchNorm1d, SyncBatchNorm, NormPool, StandardScaler, UnitNorm } = normpool;

/** A function, and arguments that it takes: made anew for each call, and each thing in them may be replaced. */
export interface Face {
  readonly name: string;
  readonly args: () => unknown[];
  readonly call: (...args: never[]) => unknown;
  /** Whether it may refuse the arguments as they are: a layer's uses are not all of every layer. */
  readonly mayRefuse?: boolean;
}

const CELLS = Float32Array.of(1, 2, 4, 7, -1, 0, 3, 5, 1, 2, 4, 7, -1, 0, 3, 5);
const moments = (count: number, sets: number) => ({ count, mean: new Float64Array(sets), m2: new Float64Array(sets) });
const sums = () => ({ count: 2, sumDy: new Float64Array(4), sumDyXmu: new Float64Array(4) });
const watchers = () => ({ signal: new AbortController().signal, timeout: 1e6, onProgress: () => {} });
const state = (...shape: number[]) => ({ shape, data: new Float32Array(4) });
const dict = () => ({ weight: state(2, 2), bias: state(2, 2) });
const batchDict = () => ({
  weight: state(4),
  bias: state(4),
  running_mean: state(4),
  running_var: { shape: [4], data: new Float64Array(4) },
  num_batches_tracked: { shape: [] as number[], data: BigInt64Array.of(3n) },
});
const normOptions = () => ({ eps: 1e-5, elementwiseAffine: true, bias: true, dtype: "float32" });
const channelOptions = () => ({
  eps: 1e-5,
  momentum: 0.1,
  affine: true,
  trackRunningStats: true,
  bias: true,
  dtype: "float32",
});

/** Layers of each kind, of four channels or [2, 2] cells. */
const LAYERS: Readonly<Record<string, () => normpool.Layer & Uses>> = {
  LayerNorm: () => new LayerNorm([2, 2]),
  RMSNorm: () => new normpool.RMSNorm([2, 2]),
  UnitNorm: () => new UnitNorm([2, 2]),
  GroupNorm: () => new normpool.GroupNorm(2, 4),
  BatchNorm1d: () => new BatchNorm1d(4),
  SyncBatchNorm: () => new SyncBatchNorm(4),
  InstanceNorm1d: () => new normpool.InstanceNorm1d(4, { affine: true, trackRunningStats: true }),
  LazyBatchNorm1d: () => new normpool.LazyBatchNorm1d(),
  LocalResponseNorm: () => new normpool.LocalResponseNorm(2),
};
/** What layers have beside what pools use. */
interface Uses {
  train(mode?: boolean): unknown;
  stateDict(options?: object): normpool.StateDict;
  loadStateDict(dict: normpool.StateDict, options?: object): void;
  resetParameters?(): void;
  readonly numFeatures?: number;
}
const FIELDS = ["weight", "bias", "runningMean", "runningVar", "numBatchesTracked", "training"] as const;

/** Layers whose sets are the last dimensions. */
function isOfRows(name: string): boolean {
  return /^(Layer|RMS|Unit)/.test(name);
}

/** A lazy layer that has met an input. */
function seen<L extends Uses>(layer: L): L {
  if (layer instanceof normpool.LazyBatchNorm1d) layer.loadStateDict(batchDict());
  return layer;
}

/** All of it. */
export function allFaces(pool: normpool.NormPool, folder: string): Face[] {
  return [
    ...poolFaces(pool),
    ...constructors(),
    ...layerFaces(pool),
    ...prepareFaces(pool),
    ...functions(folder),
    ...fileFaces(pool, folder),
    ...scalerFaces(pool),
  ];
}

function poolFaces(pool: normpool.NormPool): Face[] {
  const [x, g, out] = [0, 0, 0].map(() => pool.from(CELLS, [4, 4])) as [
    normpool.Tensor<"float32">,
    normpool.Tensor<"float32">,
    normpool.Tensor<"float32">,
  ];
  const forwardOptions = { out, inPlaceSafe: false, channelAxis: 1, onMoments: () => {}, onSets: () => {} };
  const gradients = { input: x, gradOutput: g, channelAxis: 1 };
  type Method =
    | "tensor"
    | "empty"
    | "from"
    | "wrap"
    | "forward"
    | "backward"
    | "moments"
    | "momentsOf"
    | "gradientSums";
  const of = (method: Method, args: () => unknown[], name = ""): Face => ({
    name: `pool.${method}${name}`,
    args,
    call: (...given) => Reflect.apply(pool[method], pool, given),
  });
  return [
    {
      name: "new NormPool",
      args: () => [{ threads: 1, maxMemory: 2 ** 24, maxQueue: 1, fallback: true, sliceTimeout: 1000 }],
      call: (options) => new NormPool(options).close(),
    },
    {
      name: "pool.close",
      args: () => [{ abort: true }],
      call: (options) => {
        const other = new NormPool({ threads: 1, maxMemory: 2 ** 20 });
        return other.close(options).finally(() => other.close());
      },
    },
    of("tensor", () => ["float32", [2, 3]]),
    of("empty", () => ["float32", [2, 3]]),
    of("from", () => [new Float32Array(6), [2, 3], "float32"]),
    of("from", () => [state(2, 2)], " of a state dict's tensor"),
    of("wrap", () => [new Float32Array(new SharedArrayBuffer(24)), [2, 3], "float32"]),
    of("forward", () => [new LayerNorm(4), x, { ...forwardOptions, moments: moments(4, 4), ...watchers() }]),
    of("forward", () => [new BatchNorm1d(4), x, {}], " of a batch"),
    of("backward", () => [
      new SyncBatchNorm(4),
      { ...gradients, out, inPlaceSafe: false, moments: moments(4, 4), sums: { ...sums(), count: 4 }, ...watchers() },
    ]),
    of("moments", () => [x, watchers()]),
    of("momentsOf", () => [new BatchNorm1d(4), x, { channelAxis: 1, ...watchers() }]),
    of("gradientSums", () => [new SyncBatchNorm(4), { ...gradients, moments: moments(4, 4), ...watchers() }]),
  ];
}

function constructors(): Face[] {
  const of = (name: string, args: () => unknown[]): Face => ({
    name: `new ${name}`,
    args,
    call: (...given) => Reflect.construct(Reflect.get(normpool, name) as new () => object, given),
  });
  const channels = Object.keys(normpool).filter((name) => /^(Lazy|Sync)?(Batch|Instance)Norm/.test(name));
  return [
    of("LayerNorm", () => [[2, 3], normOptions()]),
    of("RMSNorm", () => [[2, 3], { eps: 1e-5, elementwiseAffine: true, dtype: "float32" }]),
    of("UnitNorm", () => [[2, 3], { eps: 1e-5 }]),
    of("GroupNorm", () => [2, 4, { eps: 1e-5, affine: true, bias: true, dtype: "float32" }]),
    of("LocalResponseNorm", () => [3, { alpha: 1e-4, beta: 0.75, k: 1 }]),
    ...channels.map((name) => of(name, () => [...(name.startsWith("Lazy") ? [] : [4]), channelOptions()])),
  ];
}

/** Methods of layers; and all that uses a layer, with something else in one of the fields that a program may set. */
function layerFaces(pool: normpool.NormPool): Face[] {
  const [rows, channels] = [pool.from(CELLS, [4, 2, 2]), pool.from(CELLS, [2, 4, 2])];
  return Object.entries(LAYERS).flatMap(([name, make]) => {
    const input = isOfRows(name) ? rows : channels;
    const uses: Readonly<Record<string, (layer: normpool.Layer & Uses) => unknown>> = {
      forward: (layer) => pool.forward(layer, input),
      backward: (layer) => pool.backward(layer, { input, gradOutput: input }),
      momentsOf: (layer) => pool.momentsOf(layer, input),
      stateDict: (layer) => layer.stateDict(),
      loadStateDict: (layer) => layer.loadStateDict(seen(make()).stateDict()),
      toString: (layer: object) => layer.toString(),
      resetParameters: (layer) => layer.resetParameters?.(),
    };
    const faces: Face[] = [
      { name: `${name}.train`, args: () => [true], call: (mode) => make().train(mode) },
      { name: `${name}.stateDict`, args: () => [{ prefix: "" }], call: (options) => seen(make()).stateDict(options) },
      {
        name: `${name}.loadStateDict`,
        args: () => [isOfRows(name) ? dict() : batchDict(), { strict: false, prefix: "" }],
        call: (...given: [never, never]) => make().loadStateDict(...given),
      },
    ];
    for (const field of FIELDS.filter((one) => one in make())) {
      for (const [use, run] of Object.entries(uses)) {
        for (const training of field === "training" ? [true] : [true, false]) {
          faces.push({
            name: `${name}.${field}, ${use}${training ? "" : " in evaluation"}`,
            args: () => [Reflect.get(seen(make()), field)],
            call: (value) => {
              const layer = seen(make());
              layer.train(training);
              Reflect.set(layer, field, value);
              return run(layer);
            },
            mayRefuse: true,
          });
        }
      }
    }
    return faces;
  });
}

/** A layer whose `prepare` is a program's own. */
function prepareFaces(pool: normpool.NormPool): Face[] {
  const input = pool.from(CELLS, [2, 4, 2]);
  const geometry = { n: 2, r: 1, g: 4, k: 1, s: 2 };
  const none = { affineRows: false, running: null, merged: false, update: null };
  const call = (result: never) => pool.forward(Object.assign(new LayerNorm(4), { prepare: () => result }), input);
  const normalization = { kind: "normalization", geometry, eps: 1, measure: "deviation", weight: null, bias: null };
  const response = { kind: "response", samples: 2, channels: 4, space: 2, size: 2, alpha: 1, beta: 1, k: 1 };
  return [
    {
      name: "a layer's prepare",
      args: () => [{ ...normalization, geometry: { ...geometry }, ...none }],
      call,
    },
    { name: "a layer's prepare of a response", args: () => [{ ...response }], call },
  ];
}

/** What is written goes to `folder`. */
function inFolder(folder: string, path: unknown): string {
  return (typeof path === "string" && !path.startsWith(folder) ? join(folder, path) : path) as string;
}

function functions(folder: string): Face[] {
  const path = join(folder, "x.safetensors");
  return [
    {
      name: "writeSafetensors",
      args: () => [path, dict(), { metadata: { format: "pt" } }],
      call: (file: unknown, ...others: [never, never]) => normpool.writeSafetensors(inFolder(folder, file), ...others),
    },
    { name: "readSafetensors", args: () => [path, { prefix: "" }], call: normpool.readSafetensors },
    { name: "readSafetensorsMetadata", args: () => [path], call: normpool.readSafetensorsMetadata },
    { name: "mergeMoments", args: () => [[moments(2, 3), moments(3, 3)]], call: normpool.mergeMoments },
    { name: "addGradientSums", args: () => [[sums(), sums()]], call: normpool.addGradientSums },
  ];
}

function fileFaces(pool: normpool.NormPool, folder: string): Face[] {
  const path = join(folder, "x.npy");
  const raw = join(folder, "x.bin");
  writeFileSync(raw, new Uint8Array(64));
  const ended = async (opened: Promise<normpool.Tensor>) => (await opened).dispose();
  return [
    {
      name: "writeNpy",
      args: () => [path, new Float32Array(6), [2, 3], { dtype: "float32" }],
      call: (file: unknown, ...others: [never, never, never]) => normpool.writeNpy(inFolder(folder, file), ...others),
    },
    { name: "readNpy", args: () => [path, { dtype: "float32" }], call: normpool.readNpy },
    {
      name: "pool.open",
      args: () => [raw, { format: "raw", dtype: "float32", shape: [2, 3], offset: 8, writable: true }],
      call: (...given) => ended(Reflect.apply(pool.open, pool, given)),
    },
    {
      name: "pool.open of another dtype than the file",
      args: () => [raw, { format: "raw", dtype: "float16", shape: [2, 3], as: "float32" }],
      call: (...given) => ended(Reflect.apply(pool.open, pool, given)),
    },
    {
      name: "pool.create",
      args: () => [
        join(folder, "y.safetensors"),
        "float32",
        [2, 3],
        { format: "safetensors", key: "x", storedAs: "float16", metadata: { format: "pt" } },
      ],
      call: (file: unknown, ...others: [never, never, never]) => ended(pool.create(inFolder(folder, file), ...others)),
    },
    {
      name: "pool.map",
      args: () => [[pool.from(CELLS, [4, 4])], new LayerNorm(4), { inFlight: 1, channelAxis: -1, ...watchers() }],
      call: async (...given) => {
        const results: AsyncIterable<normpool.Tensor> = Reflect.apply(pool.map, pool, given);
        for await (const y of results) y.dispose();
      },
    },
    {
      name: "tensor.read",
      args: () => [{ from: 1, to: 3 }],
      call: async (range) => {
        using x = await pool.open(raw, { format: "raw", dtype: "float32", shape: [16] });
        await x.read(range);
      },
    },
  ];
}

function scalerFaces(pool: normpool.NormPool): Face[] {
  const x = pool.from(CELLS, [4, 4]);
  const out = pool.from(CELLS, [4, 4]);
  const state = () => ({
    n_samples_seen_: { shape: [] as number[], data: BigInt64Array.of(3n) },
    mean_: { shape: [4], data: new Float64Array(4) },
    var_: { shape: [4], data: new Float64Array(4) },
    scale_: { shape: [4], data: new Float64Array(4).fill(1) },
  });
  const fitted = () => {
    const scaler = new StandardScaler();
    scaler.loadStateDict(state());
    return scaler;
  };
  const of = (method: "fit" | "partialFit" | "transform" | "inverseTransform", args: () => unknown[]): Face => ({
    name: `StandardScaler.${method}`,
    args,
    call: (...given) => Reflect.apply(fitted()[method], fitted(), given),
  });
  return [
    {
      name: "new StandardScaler",
      args: () => [{ withMean: true, withStd: true, channelAxis: 1 }],
      call: (options) => new StandardScaler(options),
    },
    of("fit", () => [pool, x, { channelAxis: 1, ...watchers() }]),
    of("partialFit", () => [pool, x, { channelAxis: 1, ...watchers() }]),
    of("transform", () => [pool, x, { out, inPlaceSafe: false, channelAxis: 1, ...watchers() }]),
    of("inverseTransform", () => [pool, x, { out, channelAxis: 1, ...watchers() }]),
    {
      name: "StandardScaler.loadStateDict",
      args: () => [state(), { strict: false, prefix: "" }],
      call: (...given: [never, never]) => new StandardScaler().loadStateDict(...given),
    },
    { name: "StandardScaler.stateDict", args: () => [{ prefix: "" }], call: (options) => fitted().stateDict(options) },
  ];
}

/** What may be done with a pool, a tensor or a layer, each done with a Proxy of it, as some frameworks put around everything. */
export function proxyUses(pool: normpool.NormPool): [string, () => unknown][] {
  const x = pool.from(CELLS, [4, 4]);
  const input = pool.from(CELLS, [2, 4, 2]);
  const [layer, sync] = [new LayerNorm(4), new SyncBatchNorm(4)];
  const all: [string, () => unknown][] = [];
  const add = <T extends object>(name: string, whole: T, uses: Readonly<Record<string, (one: T) => unknown>>) => {
    for (const [use, run] of Object.entries(uses)) all.push([`${name}.${use}`, () => run(new Proxy(whole, {}))]);
  };
  add("pool", pool, {
    stats: (one) => one.stats(),
    close: (one) => one.close(),
    dispose: (one) => one[Symbol.asyncDispose](),
    tensor: (one) => one.tensor("float32", [2]),
    empty: (one) => one.empty("float32", [2]),
    from: (one) => one.from(CELLS),
    wrap: (one) => one.wrap(new Float32Array(new SharedArrayBuffer(8))),
    open: (one) => one.open("x.npy"),
    create: (one) => one.create("x.npy", "float32", [2]),
    map: (one) => one.map([x], layer).next(),
    forward: (one) => one.forward(layer, x),
    backward: (one) => one.backward(layer, { input: x, gradOutput: x }),
    moments: (one) => one.moments(x),
    momentsOf: (one) => one.momentsOf(layer, x),
    gradientSums: (one) => one.gradientSums(sync, { input: x, gradOutput: x, moments: moments(4, 4) }),
  });
  add("tensor", x, {
    data: (one) => one.data,
    size: (one) => one.size,
    toBytes: (one) => one.toBytes(),
    read: (one) => one.read(),
    dispose: (one) => one.dispose(),
  });
  for (const [name, make] of Object.entries(LAYERS)) {
    add(name, make(), {
      forward: (one) => pool.forward(one, input),
      train: (one) => one.train(),
      stateDict: (one) => one.stateDict(),
      loadStateDict: (one) => one.loadStateDict(batchDict(), { strict: false }),
      toString: (one: object) => one.toString(),
      resetParameters: (one) => one.resetParameters?.(),
      numFeatures: (one) => one.numFeatures,
    });
  }
  return all;
}
