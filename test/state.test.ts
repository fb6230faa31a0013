// State dicts with PyTorch's keys and rules, safetensors files, and how layers print.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  FileFormatError,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InvalidArgumentError,
  LayerNorm,
  NormPool,
  RMSNorm,
  readSafetensors,
  type StateDict,
  writeSafetensors,
} from "../src/index.js";
import { normal } from "./support.js";

const MODEL = fileURLToPath(new URL("../../test/fixtures/model.safetensors", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "normpool-state-"));
afterAll(() => rmSync(folder, { recursive: true }));

const floats = (...values: number[]) => ({ shape: [values.length], data: Float32Array.from(values) });
const int64 = (value: bigint) => ({ shape: [], data: BigInt64Array.of(value) });

describe("stateDict", () => {
  test.each([
    ["LayerNorm", new LayerNorm([2, 3]), ["weight", "bias"]],
    ["LayerNorm without bias", new LayerNorm(3, { bias: false }), ["weight"]],
    ["LayerNorm without affine", new LayerNorm(3, { elementwiseAffine: false }), []],
    ["RMSNorm", new RMSNorm(3), ["weight"]],
    ["GroupNorm", new GroupNorm(2, 4), ["weight", "bias"]],
    ["BatchNorm2d", new BatchNorm2d(4), ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]],
    ["BatchNorm2d without tracking", new BatchNorm2d(4, { trackRunningStats: false }), ["weight", "bias"]],
    ["InstanceNorm2d", new InstanceNorm2d(4), []],
  ])("of %s has PyTorch's keys in its order", (_, layer, keys) => {
    expect(Object.keys(layer.stateDict())).toEqual(keys);
  });

  test("has shapes, and an int64 scalar for the count", () => {
    const { weight } = new LayerNorm([2, 3]).stateDict();
    expect(weight).toEqual({ shape: [2, 3], data: new Float32Array(6).fill(1) });
    const { num_batches_tracked: count } = new BatchNorm1d(2).stateDict();
    expect(count).toEqual(int64(0n));
  });

  test("is a copy, and goes into another layer", async () => {
    const pool = new NormPool({ threads: 1 });
    const layer = new BatchNorm1d(3);
    await pool.forward(layer, pool.from(normal(30, 1, 4), [10, 3]));
    const state = layer.stateDict();
    const before = structuredClone(state);
    await pool.forward(layer, pool.from(normal(30, 2, 9), [10, 3]));
    expect(state).toEqual(before);
    const other = new BatchNorm1d(3);
    other.loadStateDict(state);
    expect(other.stateDict()).toEqual(before);
    expect(other.numBatchesTracked).toBe(1);
    await pool.close();
  });
});

describe("loadStateDict", () => {
  const good = { weight: floats(1, 2), bias: floats(3, 4) };

  test.each<[string, StateDict, string]>([
    ["a missing key", { weight: floats(1, 2) }, 'missing keys "bias"'],
    ["an unexpected key", { ...good, extra: floats(1) }, 'unexpected keys "extra"'],
    ["another size", { ...good, bias: floats(1, 2, 3) }, '"bias" of shape [3] where the layer\'s is [2]'],
    ["no tensor", { ...good, bias: [1, 2] as never }, 'no tensor at "bias"'],
    [
      "a shape that is not the data's",
      { ...good, bias: { shape: [2], data: new Float32Array(3) } },
      'no tensor at "bias"',
    ],
    [
      "several faults at once",
      { weight: floats(1), more: floats(1) },
      'missing keys "bias"; unexpected keys "more"; "weight" of shape [1]',
    ],
  ])("names %s, and loads nothing", (_, dict, message) => {
    const layer = new GroupNorm(1, 2);
    expect(() => layer.loadStateDict(dict)).toThrow(InvalidArgumentError);
    expect(() => layer.loadStateDict(dict)).toThrow(message);
    expect(() => layer.loadStateDict(dict)).toThrow(
      /^GroupNorm\.loadStateDict: expected a state that fits the layer for dict but got/,
    );
    expect(layer.weight).toEqual(new Float32Array([1, 1]));
  });

  test("takes what fits with strict: false, but never another size", () => {
    const layer = new GroupNorm(1, 2);
    layer.loadStateDict({ bias: floats(5, 6), extra: floats(1) }, { strict: false });
    expect(layer).toMatchObject({ weight: new Float32Array([1, 1]), bias: new Float32Array([5, 6]) });
    expect(() => layer.loadStateDict({ bias: floats(5) }, { strict: false })).toThrow("of shape [1]");
  });

  test("takes a BatchNorm dict of an old file, without num_batches_tracked", () => {
    const layer = new BatchNorm1d(1);
    layer.loadStateDict({ weight: floats(1), bias: floats(2), running_mean: floats(3), running_var: floats(4) });
    expect(layer).toMatchObject({
      runningMean: new Float32Array([3]),
      runningVar: new Float32Array([4]),
      numBatchesTracked: 0,
    });
  });

  test("rejects options that it does not know", () => {
    const layer = new GroupNorm(1, 2);
    expect(() => layer.loadStateDict(good, { strickt: true } as object)).toThrow(
      'only strict, prefix for options but got "strickt"',
    );
    expect(() => layer.loadStateDict(good, { strict: 1 as never })).toThrow("true or false for strict but got 1");
    expect(() => layer.loadStateDict(good, { prefix: 1 as never })).toThrow("a string for prefix but got 1");
    expect(() => layer.loadStateDict(null as never)).toThrow("an object of tensors for dict but got null");
  });
});

describe("reset", () => {
  test("resetParameters and resetRunningStats give back the first state", () => {
    for (const layer of [
      new LayerNorm(2),
      new GroupNorm(1, 2),
      new BatchNorm1d(2),
      new InstanceNorm1d(2, { affine: true, trackRunningStats: true }),
    ]) {
      const first = layer.stateDict();
      const twos = Object.fromEntries(
        Object.entries(first).map(([key, { shape, data }]) => [
          key,
          { shape, data: new Float32Array(data.length).fill(2) },
        ]),
      );
      layer.loadStateDict(twos);
      expect(layer.stateDict()).not.toEqual(first);
      layer.resetParameters();
      expect(layer.stateDict()).toEqual(first);
    }
  });

  test("resetRunningStats leaves the parameters", () => {
    const layer = new BatchNorm1d(1);
    layer.loadStateDict({
      weight: floats(5),
      bias: floats(6),
      running_mean: floats(7),
      running_var: floats(8),
      num_batches_tracked: int64(9n),
    });
    layer.resetRunningStats();
    expect(layer).toMatchObject({
      weight: floats(5).data,
      bias: floats(6).data,
      runningMean: floats(0).data,
      runningVar: floats(1).data,
      numBatchesTracked: 0,
    });
  });
});

// As torch prints them; 2.13 says bias=True too.
test.each([
  [new LayerNorm([2, 3]), "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True)"],
  [new LayerNorm(5, { eps: 0.001, elementwiseAffine: false }), "LayerNorm((5,), eps=0.001, elementwise_affine=False)"],
  [new RMSNorm(5), "RMSNorm((5,), eps=None, elementwise_affine=True)"],
  [
    new RMSNorm([2, 3], { eps: 1e-6, elementwiseAffine: false }),
    "RMSNorm((2, 3), eps=1e-06, elementwise_affine=False)",
  ],
  [new GroupNorm(32, 256), "GroupNorm(32, 256, eps=1e-05, affine=True)"],
  [new GroupNorm(2, 4, { bias: false }), "GroupNorm(2, 4, eps=1e-05, affine=True, bias=False)"],
  [new GroupNorm(2, 4, { eps: 1, affine: false }), "GroupNorm(2, 4, eps=1.0, affine=False)"],
  [new BatchNorm2d(64), "BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"],
  [
    new BatchNorm1d(3, { momentum: null, eps: 2.5e-7 }),
    "BatchNorm1d(3, eps=2.5e-07, momentum=None, affine=True, track_running_stats=True)",
  ],
  [new InstanceNorm1d(4), "InstanceNorm1d(4, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)"],
])("prints as PyTorch does: %s", (layer, printed) => {
  expect(String(layer)).toBe(printed);
});

describe("safetensors", () => {
  test("a file that Python wrote loads, with a prefix", async () => {
    const dict = await readSafetensors(MODEL);
    expect(Object.keys(dict).length).toBe(16);
    const layer = new LayerNorm([2, 3]);
    layer.loadStateDict(dict, { prefix: "encoder.norm1." });
    expect(layer.weight?.length).toBe(6);
    const batch = new BatchNorm2d(4, { momentum: null });
    batch.loadStateDict(await readSafetensors(MODEL, { prefix: "encoder.norm2." }), { prefix: "encoder.norm2." });
    expect(batch.numBatchesTracked).toBe(3);
  });

  test("every dtype has the values that torch prints", async () => {
    const dict = await readSafetensors(MODEL);
    for (const [key, values] of Object.entries(PRINTED))
      expect(Array.from<number | bigint, number>(dict[key]?.data ?? [], Number)).toEqual(values);
  });

  test("what is written is read back, and has the format's layout", async () => {
    const path = join(folder, "written.safetensors");
    const dict = {
      "a.weight": floats(1, 2, 3),
      "a.num": int64(-5n),
      d: { shape: [1, 2], data: Float64Array.of(0.1, 2) },
      none: { shape: [0, 4], data: new Float32Array(0) },
    };
    await writeSafetensors(path, dict);
    expect(await readSafetensors(path)).toEqual(dict);
    const bytes = readFileSync(path);
    const length = Number(bytes.readBigUInt64LE());
    expect(length % 8).toBe(0);
    expect(JSON.parse(bytes.toString("utf8", 8, 8 + length))["a.num"]).toEqual({
      dtype: "I64",
      shape: [],
      data_offsets: [12, 20],
    });
    expect(bytes.length).toBe(8 + length + 36);
  });

  test.each<[string, Buffer, RegExp]>([
    ["nothing", Buffer.alloc(0), /it has 0 bytes/],
    ["a length beyond the file", withHeader("{}", 1000), /header of at most 2 bytes but got 1000/],
    ["no JSON", withHeader("{oops"), /expected a header of JSON/],
    ["a list", withHeader("[]"), /expected an object as header/],
    [
      "an unknown dtype",
      withHeader('{"x":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}'),
      /"x": expected dtype F32, .* but got "F8_E5M2"/,
    ],
    [
      "offsets beyond the file",
      withHeader('{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
      /"x": expected 8 bytes within 0/,
    ],
    [
      "offsets that are not the shape's",
      withHeader('{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}'),
      /"x": expected 8 bytes/,
    ],
    [
      "a negative size",
      withHeader('{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}'),
      /"x": expected sizes as shape/,
    ],
    ["null", withHeader('{"x":null}'), /"x": expected dtype/],
  ])("refuses %s", async (_, bytes, message) => {
    const path = join(folder, "bad.safetensors");
    writeFileSync(path, bytes);
    const error: unknown = await readSafetensors(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileFormatError);
    expect((error as Error).message).toMatch(message);
  });

  test("a dtype that is not asked for does not matter", async () => {
    const path = join(folder, "mixed.safetensors");
    writeFileSync(
      path,
      withHeader(
        '{"x":{"dtype":"F8_E5M2","shape":[0],"data_offsets":[0,0]},"y":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
      ),
    );
    expect(await readSafetensors(path, { prefix: "y" })).toEqual({ y: floats() });
  });
});

function withHeader(json: string, length = json.length): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length));
  return Buffer.concat([prefix, Buffer.from(json)]);
}

// What make-safetensors.py printed.
const PRINTED: Record<string, number[]> = {
  "encoder.norm2.running_mean": [0.9770023822784424, 0.9482855796813965, 0.960089921951294, 1.084397554397583],
  "encoder.norm2.num_batches_tracked": [3.0],
  "encoder.half.weight": [0.370361328125, 1.4560546875, 0.93994140625, 0.77490234375],
  "encoder.brain.bias": [0.1923828125, 0.54296875, -2.21875, 0.259765625],
  "encoder.double.weight": [-1.029702181843019, -0.5007584123764369, 0.27336773842007633],
};
