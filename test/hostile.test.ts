// Every public function, and everything in its arguments, with every hostile value: it works, or fails with an error of the family that says what
// was expected; nothing else has happened.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import * as normpool from "../src/index.js";
import { HOSTILE } from "./hostile-values.js";

const { LayerNorm, BatchNorm1d, SyncBatchNorm, NormPool, NormpoolError } = normpool;
type Call = (...args: never[]) => unknown;

const folder = mkdtempSync(join(tmpdir(), "normpool-hostile-"));
const path = join(folder, "x.safetensors");
const pool = new NormPool({ threads: 1 });
afterAll(async () => {
  await pool.close();
  rmSync(folder, { recursive: true });
});

const CELLS = Float32Array.of(1, 2, 4, 7, -1, 0, 3, 5);
const [x, g, out] = [pool.from(CELLS, [2, 4]), pool.from(CELLS, [2, 4]), pool.from(CELLS, [2, 4])];
const moments = (count: number, sets: number) => ({ count, mean: new Float64Array(sets), m2: new Float64Array(sets) });
const sums = () => ({ count: 2, sumDy: new Float64Array(4), sumDyXmu: new Float64Array(4) });
const watchers = () => ({ signal: new AbortController().signal, timeout: 1e6, onProgress: () => {} });
const dict = () => ({
  weight: { shape: [2, 2], data: new Float32Array(4) },
  bias: { shape: [2, 2], data: new Float32Array(4) },
});
const batchDict = () => ({
  weight: { shape: [4], data: new Float32Array(4) },
  bias: { shape: [4], data: new Float32Array(4) },
  running_mean: { shape: [4], data: new Float32Array(4) },
  running_var: { shape: [4], data: new Float64Array(4) },
  num_batches_tracked: { shape: [] as number[], data: BigInt64Array.of(3n) },
});
const normOptions = { eps: 1e-5, elementwiseAffine: true, bias: true, dtype: "float32" };
const channelOptions = {
  eps: 1e-5,
  momentum: 0.1,
  affine: true,
  trackRunningStats: true,
  bias: true,
  dtype: "float32",
};

/** A function, and arguments that it takes: made anew for each call, and each thing in them is replaced in turn. */
interface Face {
  readonly name: string;
  readonly args: () => unknown[];
  readonly call: Call;
}

const faces: Face[] = [];
const proxied: [string, () => unknown][] = [];
const face = (name: string, args: () => unknown[], call: Call) => faces.push({ name, args, call });

face(
  "new NormPool",
  () => [{ threads: 1, maxMemory: 2 ** 24, maxQueue: 1, fallback: true, sliceTimeout: 1000 }],
  (options) => new NormPool(options).close(),
);
for (const method of ["tensor", "empty"] as const) {
  face(
    `pool.${method}`,
    () => ["float32", [2, 3]],
    (dtype, shape) => pool[method](dtype, shape),
  );
}
face(
  "pool.from",
  () => [new Float32Array(6), [2, 3], "float32"],
  (...args: [never, never, never]) => pool.from(...args),
);
face(
  "pool.from of a state dict",
  () => [{ shape: [2, 3], data: new Float32Array(6) }],
  (tensor) => pool.from(tensor),
);
face(
  "pool.wrap",
  () => [new Float32Array(new SharedArrayBuffer(24)), [2, 3], "float32"],
  (...args: [never, never, never]) => pool.wrap(...args),
);
face(
  "pool.forward",
  () => [
    new LayerNorm(4),
    x,
    { out, inPlaceSafe: false, moments: moments(4, 2), onMoments: () => {}, channelAxis: 1, ...watchers() },
  ],
  (...args: [never, never, never]) => pool.forward(...args),
);
face(
  "pool.forward of a batch",
  () => [new BatchNorm1d(4), x, {}],
  (...args: [never, never]) => pool.forward(...args),
);
face(
  "pool.backward",
  () => [
    new SyncBatchNorm(4),
    {
      input: x,
      gradOutput: g,
      out,
      inPlaceSafe: false,
      moments: moments(2, 4),
      sums: sums(),
      channelAxis: 1,
      ...watchers(),
    },
  ],
  (...args: [never, never]) => pool.backward(...args),
);
face(
  "pool.moments",
  () => [x, watchers()],
  (...args: [never, never]) => pool.moments(...args),
);
face(
  "pool.momentsOf",
  () => [new BatchNorm1d(4), x, { channelAxis: 1, ...watchers() }],
  (...args: [never, never, never]) => pool.momentsOf(...args),
);
face(
  "pool.gradientSums",
  () => [new SyncBatchNorm(4), { input: x, gradOutput: g, moments: moments(2, 4), channelAxis: 1, ...watchers() }],
  (...args: [never, never]) => pool.gradientSums(...args),
);
face(
  "pool.close",
  () => [{ abort: true }],
  (options) => {
    const other = new NormPool({ threads: 1, maxMemory: 2 ** 20 });
    return other.close(options).finally(() => other.close());
  },
);

face(
  "new LayerNorm",
  () => [[2, 3], { ...normOptions }],
  (...args: [never, never]) => new LayerNorm(...args),
);
face(
  "new RMSNorm",
  () => [[2, 3], { eps: 1e-5, elementwiseAffine: true, dtype: "float32" }],
  (...args: [never, never]) => new normpool.RMSNorm(...args),
);
face(
  "new UnitNorm",
  () => [[2, 3], { eps: 1e-5 }],
  (...args: [never, never]) => new normpool.UnitNorm(...args),
);
face(
  "new GroupNorm",
  () => [2, 4, { eps: 1e-5, affine: true, bias: true, dtype: "float32" }],
  (...args: [never, never, never]) => new normpool.GroupNorm(...args),
);
face(
  "new LocalResponseNorm",
  () => [3, { alpha: 1e-4, beta: 0.75, k: 1 }],
  (...args: [never, never]) => new normpool.LocalResponseNorm(...args),
);
for (const [name, Class] of Object.entries(normpool)) {
  if (!/^(Lazy|Sync)?(Batch|Instance)Norm/.test(name)) continue;
  const options = () => ({ ...channelOptions });
  face(
    `new ${name}`,
    () => (name.startsWith("Lazy") ? [options()] : [4, options()]),
    (...args: unknown[]) => Reflect.construct(Class, args),
  );
}

/** Layers, the fields of which a program may set. */
const LAYERS = {
  LayerNorm: () => new LayerNorm([2, 2]),
  RMSNorm: () => new normpool.RMSNorm([2, 2]),
  GroupNorm: () => new normpool.GroupNorm(2, 4),
  BatchNorm1d: () => new BatchNorm1d(4),
  SyncBatchNorm: () => new SyncBatchNorm(4),
  InstanceNorm1d: () => new normpool.InstanceNorm1d(4, { affine: true, trackRunningStats: true }),
  LazyBatchNorm1d: () => new normpool.LazyBatchNorm1d(),
  LocalResponseNorm: () => new normpool.LocalResponseNorm(2),
  UnitNorm: () => new normpool.UnitNorm([2, 2]),
} as const;
const input = pool.from(
  Float32Array.from({ length: 16 }, (_, i) => i),
  [2, 4, 2],
);
const square = pool.from(
  Float32Array.from({ length: 16 }, (_, i) => i),
  [4, 2, 2],
);

for (const [name, make] of Object.entries(LAYERS)) {
  const xOf = () => (name === "LayerNorm" || name === "RMSNorm" || name === "UnitNorm" ? square : input);
  face(
    `${name}.train`,
    () => [true],
    (mode) => make().train(mode),
  );
  face(
    `${name}.stateDict`,
    () => [{ prefix: "" }],
    (options) => seen(make()).stateDict(options),
  );
  face(
    `${name}.loadStateDict`,
    () => [/^(Layer|RMS)/.test(name) ? dict() : batchDict(), { strict: false, prefix: "" }],
    (...args: [never, never]) => make().loadStateDict(...args),
  );
  for (const field of ["weight", "bias", "runningMean", "runningVar", "numBatchesTracked", "training"]) {
    if (field !== "training" && !(field in make())) continue;
    const given = (value: unknown) => {
      const layer = make();
      Reflect.set(layer, field, value);
      return layer;
    };
    const uses: Readonly<Record<string, (layer: ReturnType<typeof make>) => unknown>> = {
      forward: (layer) => pool.forward(layer, xOf()),
      "forward in evaluation": (layer) => {
        if (field !== "training") layer.eval();
        return pool.forward(layer, xOf());
      },
      backward: (layer) => pool.backward(layer, { input: xOf(), gradOutput: xOf() }),
      momentsOf: (layer) => pool.momentsOf(layer, xOf()),
      stateDict: (layer) => layer.stateDict(),
      loadStateDict: (layer: ReturnType<typeof make>) => layer.loadStateDict(seen(make()).stateDict()),
      toString: (layer: ReturnType<typeof make>) => layer.toString(),
      resetParameters: (layer: object) => (layer as { resetParameters?: () => void }).resetParameters?.(),
    };
    for (const [use, run] of Object.entries(uses)) {
      face(
        `${name}.${field}, ${use}`,
        () => [Reflect.get(seen(make()), field)],
        (value) => run(given(value)),
      );
    }
  }
}
face(
  "a layer's prepare",
  () => [{ kind: "response", samples: 2, channels: 4, space: 2, size: 2, alpha: 1, beta: 1, k: 1 }],
  (result) => pool.forward(Object.assign(new LayerNorm(4), { prepare: () => result }), input),
);
face(
  "a layer's prepare of a normalization",
  () => [
    {
      kind: "normalization",
      geometry: { n: 2, r: 1, g: 4, k: 1, s: 2 },
      eps: 1,
      measure: "deviation",
      affineRows: false,
      weight: null,
      bias: null,
      running: null,
      merged: false,
      update: null,
    },
  ],
  (result) => pool.forward(Object.assign(new LayerNorm(4), { prepare: () => result }), input),
);

face(
  "mergeMoments",
  () => [[moments(2, 3), moments(3, 3)]],
  (parts) => normpool.mergeMoments(parts),
);
face(
  "addGradientSums",
  () => [[sums(), sums()]],
  (parts) => normpool.addGradientSums(parts),
);
face(
  "readSafetensors",
  () => [path, { prefix: "" }],
  (...args: [never, never]) => normpool.readSafetensors(...args),
);
face(
  "readSafetensorsMetadata",
  () => [path],
  (file) => normpool.readSafetensorsMetadata(file),
);
face(
  "writeSafetensors",
  () => [path, dict(), { metadata: { format: "pt" } }],
  (file, tensors, options) =>
    normpool.writeSafetensors(
      typeof file === "string" && file !== path ? (join(folder, file) as never) : file,
      tensors,
      options,
    ),
);

/** Who is asked may be a Proxy too, as some frameworks put around everything. */
for (const [name, [whole, ask]] of Object.entries({
  pool: [
    pool,
    (one: typeof pool) => [
      () => one.stats(),
      () => one.close(),
      () => one.tensor("float32", [2]),
      () => one.empty("float32", [2]),
      () => one.from(CELLS),
      () => one.wrap(new Float32Array(new SharedArrayBuffer(8))),
      () => one.forward(new LayerNorm(4), x),
      () => one.backward(new LayerNorm(4), { input: x, gradOutput: g }),
      () => one.moments(x),
      () => one.momentsOf(new LayerNorm(4), x),
      () => one.gradientSums(new SyncBatchNorm(4), { input: x, gradOutput: g }),
    ],
  ],
  tensor: [x, (one: typeof x) => [() => one.data, () => one.size, () => one.toBytes(), () => one.dispose()]],
  ...Object.fromEntries(
    Object.entries(LAYERS).map(([key, make]) => [
      key,
      [
        make(),
        (one: ReturnType<typeof make>) => [
          () => one.stateDict(),
          () => one.loadStateDict(batchDict(), { strict: false }),
          () => one.train(),
          () => one.toString(),
          () => "resetParameters" in one && one.resetParameters(),
          () => "numFeatures" in one && one.numFeatures,
          () => pool.forward(one, input),
        ],
      ],
    ]),
  ),
} as unknown as Record<string, [object, (one: object) => (() => unknown)[]]>)) {
  for (const i of ask(whole).keys()) {
    proxied.push([`${name}, use ${i}`, () => ask(new Proxy(whole, {}))[i]?.()]);
  }
}

/** A lazy layer that has met an input. */
function seen<L extends object>(layer: L): L {
  if (layer instanceof normpool.LazyBatchNorm1d) layer.loadStateDict(batchDict());
  return layer;
}

/** Where something lies in arguments: keys from outside in. */
function placesOf(value: unknown): PropertyKey[][] {
  const plain =
    Array.isArray(value) ||
    (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype);
  return plain
    ? Reflect.ownKeys(value as object)
        .filter((key) => key !== "length")
        .flatMap((key) => [[key], ...placesOf(Reflect.get(value as object, key)).map((rest) => [key, ...rest])])
    : [];
}

function put(args: unknown[], place: readonly PropertyKey[], value: unknown): void {
  let holder: object = args;
  for (const key of place.slice(0, -1)) holder = Reflect.get(holder, key) as object;
  // Not by assignment, which would set a prototype.
  Object.defineProperty(holder, place.at(-1) as PropertyKey, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  });
}

/** What is wrong with how a call failed; undefined where nothing is. */
function faultOf(error: unknown): string | undefined {
  // What the system says of a file that it does not have.
  if (error instanceof Error && "syscall" in error) return undefined;
  if (!(error instanceof NormpoolError))
    return `${error instanceof Error ? (error.stack ?? error).toString().split("\n").slice(0, 4).join(" | ") : String(error)}`;
  const { message, operation, code } = error;
  if (!message.startsWith(`${operation}: `) || operation === "") return `no operation: ${message}`;
  if (
    code !== "out-of-memory" &&
    code !== "write-failed" &&
    code !== "file-format" &&
    !/expected .* but got |given .* expected /.test(message)
  )
    return `not in the family's form: ${message}`;
  if (/\[object [A-Z]|undefined is not|[cC]annot read/.test(message)) return `raw words: ${message}`;
  return undefined;
}

/** What is wrong with how a call ended. */
async function outcomeOf(call: () => unknown): Promise<string | undefined> {
  try {
    const value = await call();
    // Pools' memory is not for every result at once.
    if (typeof value === "object" && value !== null && value !== out && "dispose" in value) {
      (value as normpool.Tensor).dispose();
    }
    return undefined;
  } catch (error) {
    return faultOf(error);
  }
}

test.each(faces.map((one) => [one.name, one] as const))("%s", async (name, { args, call }) => {
  await normpool.writeSafetensors(path, dict());
  // As it is it works, except where a layer's use is one that it does not have.
  if (!name.includes(",")) await call(...(args() as never[]));
  expect(await outcomeOf(() => call(...(args() as never[])))).toBeUndefined();
  const faults: string[] = [];
  for (const place of placesOf(args())) {
    for (const [value, make] of Object.entries(HOSTILE)) {
      const given = args();
      put(given, place, make());
      const fault = await outcomeOf(() => call(...(given as never[])));
      // What callbacks throw is theirs.
      const called = /^(on|update)/.test(String(place.at(-1))) && typeof make() === "function";
      if (fault !== undefined && !called) faults.push(`${place.map(String).join(".")} = ${value}: ${fault}`);
    }
  }
  for (const tensor of [x, g]) expect(tensor.data).toEqual(CELLS);
  const y = await pool.forward(new LayerNorm(4), x);
  expect(Math.fround(y.data[0] as number)).toBeCloseTo(-1.09, 1);
  y.dispose();
  expect(faults).toEqual([]);
});

test.each(proxied)("a Proxy of a %s", async (_, use) => {
  expect(await outcomeOf(use)).toBeUndefined();
});
