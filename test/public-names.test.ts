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
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LocalResponseNorm",
    "MissingFilesError",
    "NormPool",
    "NormpoolError",
    "OutOfMemoryError",
    "OutputTensor",
    "PoolClosedError",
    "QueueFullError",
    "RMSNorm",
    "ReadFailedError",
    "StandardScaler",
    "SyncBatchNorm",
    "TimedOutError",
    "UnitNorm",
    "UnsupportedDtypeError",
    "UnsupportedRuntimeError",
    "WorkerFailedError",
    "WriteFailedError",
    "addGradientSums",
    "mergeMoments",
    "readNpy",
    "readSafetensors",
    "readSafetensorsMetadata",
    "writeNpy",
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
    "BackwardOptions",
    "CallEvent",
    "CallOptions",
    "CellRange",
    "ChannelNormOptions",
    "CloseOptions",
    "CreateOptions",
    "Dtype",
    "ErrorCode",
    "FileFormat",
    "Float16Data",
    "ForwardOptions",
    "GradientOptions",
    "GradientSums",
    "Gradients",
    "GroupNormOptions",
    "Layer",
    "LayerCallOptions",
    "LayerNormOptions",
    "LoadStateOptions",
    "LocalResponseNormOptions",
    "LostSlice",
    "MapOptions",
    "Moments",
    "NormPoolOptions",
    "NpyArray",
    "OpenOptions",
    "OutputDtype",
    "OutputFormat",
    "OutputOptions",
    "Parameter",
    "PhaseEvent",
    "PoolStats",
    "Progress",
    "RMSNormOptions",
    "ReadNpyOptions",
    "ReadSafetensorsOptions",
    "SaveStateOptions",
    "SetMoments",
    "Shape",
    "StandardScalerOptions",
    "StateDict",
    "StateTensor",
    "Tensor",
    "TensorSource",
    "TransformOptions",
    "TypedArrays",
    "UnitNormOptions",
    "WriteNpyOptions",
    "WriteSafetensorsOptions",
  ]);
});

test("nothing below the root can be imported", async () => {
  const inside: string = "normpool/dist/src/pool.js";
  await expect(import(inside)).rejects.toThrow();
});
