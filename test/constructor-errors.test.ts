// Every constructor and every option of it, with what it does not take: the error names the argument and what came.
import { describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  GroupNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  type Layer,
  LayerNorm,
  LazyBatchNorm1d,
  LazyBatchNorm2d,
  LazyBatchNorm3d,
  LazyInstanceNorm1d,
  LazyInstanceNorm2d,
  LazyInstanceNorm3d,
  LocalResponseNorm,
  RMSNorm,
  SyncBatchNorm,
} from "../src/index.js";
import { badArgument, expectThrows } from "./refusal.js";

const CHANNEL_KEYS = ["eps", "momentum", "affine", "trackRunningStats", "bias", "dtype"];
const EAGER = [
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  SyncBatchNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
] as const;
const LAZY = [
  LazyBatchNorm1d,
  LazyBatchNorm2d,
  LazyBatchNorm3d,
  LazyInstanceNorm1d,
  LazyInstanceNorm2d,
  LazyInstanceNorm3d,
] as const;

interface Class {
  readonly name: string;
  readonly keys: readonly string[];
  make(options: unknown): Layer;
}

const CLASSES: readonly Class[] = [
  {
    name: "LayerNorm",
    keys: ["eps", "elementwiseAffine", "bias", "dtype"],
    make: (options) => new LayerNorm(3, options as object),
  },
  {
    name: "RMSNorm",
    keys: ["eps", "elementwiseAffine", "dtype"],
    make: (options) => new RMSNorm(3, options as object),
  },
  {
    name: "GroupNorm",
    keys: ["eps", "affine", "bias", "dtype"],
    make: (options) => new GroupNorm(2, 4, options as object),
  },
  {
    name: "LocalResponseNorm",
    keys: ["alpha", "beta", "k"],
    make: (options) => new LocalResponseNorm(2, options as object),
  },
  ...EAGER.map((Eager) => ({
    name: Eager.name,
    keys: CHANNEL_KEYS,
    make: (options: unknown) => new Eager(3, options as object),
  })),
  ...LAZY.map((Lazy) => ({
    name: Lazy.name,
    keys: CHANNEL_KEYS,
    make: (options: unknown) => new Lazy(options as object),
  })),
];

const FLAG = { expected: "true or false", values: ["no", "true", 0, 1, null, Number.NaN] };
const NUMBER = { expected: "a finite number", values: [Number.NaN, Infinity, -Infinity, "1", null, true, 1n, [1]] };
/** What each option does not take. RMSNorm's eps takes null. */
const WRONG: Readonly<Record<string, { readonly expected: string; readonly values: readonly unknown[] }>> = {
  eps: { expected: "a finite number, 0 or more", values: [Number.NaN, -1, -1e-9, Infinity, "1e-5", true, 1n, [1e-5]] },
  momentum: { expected: "a finite number or null", values: [Number.NaN, Infinity, "0.1", false, 1n] },
  affine: FLAG,
  elementwiseAffine: FLAG,
  trackRunningStats: FLAG,
  bias: FLAG,
  dtype: {
    expected: '"float32" or "float64"',
    values: ["float16", "uint8", "half", "Float32", null, 32, Float32Array],
  },
  alpha: NUMBER,
  beta: NUMBER,
  k: NUMBER,
};
const PYTHONS_KEYS = ["normalized_shape", "num_groups", "num_channels", "num_features", "size", "elementwise_affine"];
const UNKNOWN = [
  ...PYTHONS_KEYS,
  "track_running_stats",
  "numFeatures",
  "epsilon",
  "device",
  "process_group",
  "Eps",
  "",
];

describe.each(CLASSES)("$name", ({ name, keys, make }) => {
  test.each(keys)("names %s where it is not what it takes", (key) => {
    const { expected, values } = WRONG[key] as (typeof WRONG)[string];
    for (const value of values) {
      const refusal = badArgument(key, `${name}: expected ${expected} for ${key} but got `);
      expectThrows(() => make({ [key]: value }), { ...refusal, operation: name });
    }
  });

  test("names keys that it does not know, Python's among them", () => {
    const others = Object.keys(WRONG).filter((key) => !keys.includes(key));
    for (const key of [...UNKNOWN, ...others]) {
      const words = `${name}: expected only ${keys.join(", ")} for options but got ${JSON.stringify(key)}`;
      expectThrows(() => make({ [key]: 1 }), { ...badArgument("options", words), operation: name });
    }
  });

  test("takes an object as options, or none", () => {
    for (const options of [1e-5, "eps", null, true, [], [1e-5], () => 1]) {
      const words = `${name}: expected an object for options but got `;
      expectThrows(() => make(options), badArgument("options", words));
    }
    const layer = String(make(undefined));
    expect(String(make({}))).toBe(layer);
    expect(String(make(Object.fromEntries(keys.map((key) => [key, undefined]))))).toBe(layer);
  });
});

test("eps null is the machine epsilon for RMSNorm, and nothing elsewhere", () => {
  for (const { name, keys, make } of CLASSES) {
    if (name === "RMSNorm") expect(make({ eps: null })).toMatchObject({ eps: null });
    else if (keys.includes("eps"))
      expectThrows(() => make({ eps: null }), badArgument("eps", "0 or more for eps but got null"));
  }
});

/** None of these is a number of anything. */
const NO_COUNT = [0, -2, 1.5, Number.NaN, Infinity, 2 ** 53, "2", null, undefined, 2n, [2], {}];

test.each<[string, string, (value: never) => Layer]>([
  // PyTorch: "Expected num groups to be greater than 0, got -2".
  ["GroupNorm", "numGroups", (value) => new GroupNorm(value, 4)],
  ["GroupNorm", "numChannels", (value) => new GroupNorm(1, value)],
  ["LocalResponseNorm", "size", (value) => new LocalResponseNorm(value)],
  ...EAGER.map((Eager): [string, string, (value: never) => Layer] => [
    Eager.name,
    "numFeatures",
    (value) => new Eager(value),
  ]),
])("%s takes a positive safe integer as %s", (name, argument, make) => {
  for (const value of NO_COUNT) {
    const words = `${name}: expected a positive safe integer for ${argument} but got `;
    expectThrows(() => make(value as never), { ...badArgument(argument, words), operation: name });
  }
});

test("a long word is not repeated whole, nor a function's source", () => {
  const words = /for dtype but got "x{80}\.\.\."$/;
  expect(() => new LayerNorm(3, { dtype: "x".repeat(1000) as never })).toThrow(words);
  expect(() => new LayerNorm(LayerNorm as never)).toThrow(/for normalizedShape but got the function LayerNorm$/);
});

test("a lazy layer takes no number of channels", () => {
  for (const Lazy of LAZY)
    expectThrows(() => new Lazy(5 as never), badArgument("options", "an object for options but got 5"));
});

test('PyTorch: "num_channels (4) must be divisible by num_groups (3)"', () => {
  const words = "GroupNorm: expected a number divisible by numGroups (3) for numChannels but got 4";
  expectThrows(() => new GroupNorm(3, 4), badArgument("numChannels", words));
  expectThrows(() => new GroupNorm(8, 4), badArgument("numChannels", "divisible by numGroups (8)"));
});

describe.each([
  ["LayerNorm", LayerNorm],
  ["RMSNorm", RMSNorm],
] as const)("normalizedShape of %s", (_, Class) => {
  test.each<[string, unknown, string]>([
    ["a fraction", 1.5, "a safe integer, 0 or more for normalizedShape but got 1.5"],
    ["a fraction among sizes", [3, 1.5], "a safe integer, 0 or more for normalizedShape but got 1.5"],
    ["a negative size", -1, "a safe integer, 0 or more for normalizedShape but got -1"],
    ["a negative size among others", [3, -1], "a safe integer, 0 or more for normalizedShape but got -1"],
    ["NaN", Number.NaN, "but got NaN"],
    ["a string", "3", 'but got "3"'],
    ["a string among sizes", [2, "3"], 'but got "3"'],
    ["null", null, "but got null"],
    ["nothing", undefined, "but got undefined"],
    ["a typed array", Int32Array.of(2, 3), "but got Int32Array"],
    ["holes", new Array(2), "but got undefined"],
    // PyTorch: "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element".
    ["no dimensions", [], "at least one dimension for normalizedShape but got []"],
    [
      "more cells than can be counted",
      [2 ** 30, 2 ** 30],
      "a safe integer as product for normalizedShape but got [1073741824, 1073741824]",
    ],
  ])("is not %s", (_, value, words) => {
    expectThrows(() => Reflect.construct(Class, [value]), {
      ...badArgument("normalizedShape", words),
      operation: Class.name,
    });
  });
});

test('PyTorch: "training mode is expected to be boolean"', () => {
  for (const { name, make } of CLASSES) {
    const layer = make({}) as LayerNorm;
    for (const mode of ["eval", 0, null]) {
      const words = `${name}.train: expected true or false for mode but got `;
      expectThrows(() => layer.train(mode as never), badArgument("mode", words));
    }
    expect(layer.training).toBe(true);
  }
});
