import { readFileSync } from "node:fs";
import * as normpool from "normpool";
import { expect, test } from "vitest";

test("the package's public names are these and no others", () => {
  expect(Object.keys(normpool).sort()).toEqual([
    "AbortedError",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "FileFormatError",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "InvalidArgumentError",
    "InvalidShapeError",
    "LayerNorm",
    "NormPool",
    "NormpoolError",
    "OutOfMemoryError",
    "PoolClosedError",
    "RMSNorm",
    "UnsupportedDtypeError",
    "WorkerFailedError",
    "readSafetensors",
    "writeSafetensors",
  ]);
});

test("the types that index.d.ts exports are these and no others", () => {
  const text = readFileSync(new URL("../src/index.d.ts", import.meta.url), "utf8");
  const types = [...text.matchAll(/\btype (?:\{([^}]*)\}|(\w+))/g)].flatMap(([, list, one]) =>
    (list ?? one ?? "").split(","),
  );
  expect(
    types
      .map((name) => name.trim().replace(/^type /, ""))
      .filter((name) => name !== "")
      .sort(),
  ).toEqual([
    "ChannelNormOptions",
    "Dtype",
    "ErrorCode",
    "ForwardOptions",
    "GroupNormOptions",
    "Layer",
    "LayerNormOptions",
    "LoadStateOptions",
    "Moments",
    "NormPoolOptions",
    "Progress",
    "RMSNormOptions",
    "ReadSafetensorsOptions",
    "Shape",
    "StateDict",
    "StateTensor",
    "Tensor",
    "TypedArrays",
  ]);
});

test("nothing below the root can be imported", async () => {
  const inside: string = "normpool/dist/src/pool.js";
  await expect(import(inside)).rejects.toThrow();
});
