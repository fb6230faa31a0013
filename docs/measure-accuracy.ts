// Measures normpool's errors as test/conformance/make-cases.py measures PyTorch's: the same layers, numbers and definition of an error.
// Writes both into the table of accuracy.md.
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BatchNorm2d, GroupNorm, InstanceNorm2d, type Layer, LayerNorm, NormPool, RMSNorm } from "../src/index.js";
import { batchNorm, groupNorm, instanceNorm, layerNorm, type ReferenceOptions, rmsNorm } from "../test/reference.js";
import {
  batchNormBackward,
  groupNormBackward,
  instanceNormBackward,
  layerNormBackward,
  rmsNormBackward,
} from "../test/reference-backward.js";
import { largest, worstError } from "../test/rounding.js";
import { normal } from "../test/support.js";

/** Errors under the names that torch-errors.json has: the largest, and of grad_weight its share of the largest gradient. */
interface Errors {
  readonly output: number;
  readonly grad_input: number;
  readonly grad_weight: number;
}

interface Results {
  readonly y: ArrayLike<number>;
  readonly gradInput: ArrayLike<number>;
  readonly gradWeight: ArrayLike<number>;
}

interface Parameters {
  readonly weight: Float32Array | Float64Array | null;
  readonly bias?: Float32Array | Float64Array | null;
}

interface Measured {
  readonly shape: readonly number[];
  /** Where the channels are; in the generated numbers they are dimension 1. */
  readonly channelAxis?: 1 | -1;
  make(): Layer & Parameters;
  inFloat64(x: Float32Array, g: Float32Array, options: ReferenceOptions): Results;
}

const CELLS = 64 * 4096;
const ROWS = [4096];
const IMAGES = [8, 64, 16, 32];
const ONE_IMAGE = [1, 64, 64, 64];

const LAYERS: Readonly<Record<string, Measured>> = {
  LayerNorm: {
    shape: [64, ...ROWS],
    make: () => new LayerNorm(ROWS),
    inFloat64: (x, g, options) => ({ ...layerNorm(x, ROWS, options), ...layerNormBackward(x, g, ROWS, options) }),
  },
  RMSNorm: {
    shape: [64, ...ROWS],
    make: () => new RMSNorm(ROWS),
    inFloat64: (x, g, options) => ({ ...rmsNorm(x, ROWS, options), ...rmsNormBackward(x, g, ROWS, options) }),
  },
  GroupNorm: groupNormOf({ shape: [8, 64, 512] }),
  "GroupNorm channels-last": groupNormOf({ shape: [8, 16, 32, 64], channelAxis: -1 }),
  "BatchNorm2d training": {
    shape: IMAGES,
    make: () => new BatchNorm2d(64),
    inFloat64: (x, g, options) => ({ ...batchNorm(x, IMAGES, options), ...batchNormBackward(x, g, IMAGES, options) }),
  },
  InstanceNorm2d: {
    shape: ONE_IMAGE,
    make: () => new InstanceNorm2d(64, { affine: true }),
    inFloat64: (x, g, options) => ({
      ...instanceNorm(x, ONE_IMAGE, options),
      ...instanceNormBackward(x, g, ONE_IMAGE, options),
    }),
  },
};

function groupNormOf({ shape, channelAxis = 1 }: Pick<Measured, "shape" | "channelAxis">): Measured {
  return {
    shape,
    channelAxis,
    make: () => new GroupNorm(8, 64),
    inFloat64: (x, g, given) => {
      const options = { ...given, channelAxis };
      return { ...groupNorm(x, shape, 8, options), ...groupNormBackward(x, g, shape, 8, options) };
    },
  };
}

/** The table's lines, PyTorch's errors beside ours. */
export async function accuracyTable(): Promise<string> {
  const torch = readFileSync(new URL("../../test/conformance/torch-errors.json", import.meta.url), "utf8");
  const { errors }: { errors: ({ layer: string; mean: number } & Errors)[] } = JSON.parse(torch);
  const lines = [
    "| layer | mean | output: PyTorch | normpool | input's gradient: PyTorch | normpool | weight's gradient: PyTorch | normpool |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
  ];
  const means = [...new Set(errors.map(({ mean }) => mean))];
  const inputs = means.map((mean) => normal(CELLS, 1, mean));
  const g = normal(CELLS, 2);
  const pool = new NormPool({ threads: 1 });
  for (const { layer, mean, ...theirs } of errors) {
    const measured = LAYERS[layer];
    if (measured === undefined) throw new Error(`torch-errors.json has a layer that is not measured: ${layer}`);
    const ours = await measure(pool, measured, inputs[means.indexOf(mean)] as Float32Array, g);
    const columns = (["output", "grad_input", "grad_weight"] as const).flatMap((key) => [theirs[key], ours[key]]);
    const cells = [layer, mean === 0 ? "0" : mean.toExponential().replace("+", ""), ...columns.map(format)];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  await pool.close();
  return lines.join("\n");
}

/** The errors for an input and a gradient of the output whose channels come before the space. */
async function measure(
  pool: NormPool,
  { shape, channelAxis, make, inFloat64 }: Measured,
  ...channelsFirst: readonly [input: Float32Array, gradOutput: Float32Array]
): Promise<Errors> {
  const moved = channelAxis === -1 ? channelsFirst.map((values) => channelsLast(values, shape)) : channelsFirst;
  const [x, g] = moved as [Float32Array, Float32Array];
  const layer = make();
  const { weight, bias } = layer;
  weight?.set(normal(weight.length, 3, 1, 0.5));
  bias?.set(normal(bias.length, 4));
  using input = pool.from(x, shape);
  using gradOutput = pool.from(g, shape);
  using output = await pool.forward(layer, input, { channelAxis });
  const { gradInput, gradWeight } = await pool.backward(layer, { input, gradOutput, channelAxis });
  using own = gradInput;
  const exact = inFloat64(x, g, { weight, bias: bias ?? null });
  return {
    output: worstError(output.data, exact.y),
    grad_input: worstError(own.data, exact.gradInput),
    grad_weight: worstError(gradWeight ?? [], exact.gradWeight) / largest(exact.gradWeight),
  };
}

/** `[N, C, space]` as `[N, space, C]`, which is `shape`. */
function channelsLast(values: Float32Array, shape: readonly number[]): Float32Array {
  const channels = shape.at(-1) as number;
  const space = values.length / ((shape[0] as number) * channels);
  return values.map((_, i) => {
    const sample = Math.floor(i / (space * channels));
    const position = Math.floor(i / channels) % space;
    return values[(sample * channels + (i % channels)) * space + position] as number;
  });
}

function format(error: number): string {
  return error.toExponential(1).replace("+", "");
}

const MARKS = ["<!-- errors: npm run accuracy -->\n\n", "\n\n<!-- /errors -->"] as const;

/** The document with `table` in the place of the one that it has. */
export function withTable(document: string, table: string): string {
  const [start, end] = [document.indexOf(MARKS[0]) + MARKS[0].length, document.indexOf(MARKS[1])];
  if (start < MARKS[0].length || end < start) throw new Error("accuracy.md has no place for the table");
  return document.slice(0, start) + table + document.slice(end);
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const file = new URL("../../docs/accuracy.md", import.meta.url);
  writeFileSync(file, withTable(readFileSync(file, "utf8"), await accuracyTable()));
}
