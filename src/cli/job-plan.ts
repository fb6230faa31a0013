// Arguments to plans of jobs: of a layer over one file, and of a fit over many.
import { type Command, Option } from "commander";
import { type JobSource, planFitJob, planJob } from "../index.js";
import { parseAxis, parseOutput, parsePartSize, parseParts } from "./arguments.js";
import { dtypePath } from "./dtypes.js";
import { expandInputs, STREAM } from "./inputs.js";
import { addLayerOptions } from "./layer-command.js";
import { type LayerOptions, Layers } from "./layer-of-file.js";
import type { LayerCommand } from "./layers.js";
import { formatOfName } from "./outputs.js";
import type { RunOptions } from "./run.js";
import { addSourceOptions, DTYPES, lookAt, openOptionsOf, openShape, type SourceOptions } from "./source.js";
import { naming } from "./tensor-file.js";
import { UsageError } from "./usage-error.js";

interface PartOptions extends SourceOptions {
  readonly parts?: number;
  readonly partSize?: number;
  readonly force: boolean;
}

export interface LayerPlanOptions extends PartOptions, Omit<LayerOptions, "force">, Pick<RunOptions, "dtypeOut"> {
  readonly output: string;
  readonly key?: string;
}

export interface FitPlanOptions extends PartOptions {
  readonly output: string;
  readonly channelAxis: number;
  readonly mean: boolean;
  readonly std: boolean;
}

/** What `job plan` and `submit` have of a layer. */
export function addPlanArguments(command: Command, layer: LayerCommand): Command {
  command
    .argument("<input>", "an .npy file, .npz, safetensors or raw cells, which all processes see")
    .requiredOption("-o, --output <file>", "the file to write, complete or not at all (required)", parseOutput);
  addLayerOptions(command, layer, false);
  return addPartOptions(command).addOption(
    new Option(
      "--dtype-out <dtype>",
      "of the output, computed in the wider of both (default: the input's; float32 for uint8)",
    ).choices(DTYPES.filter((dtype) => dtype !== "uint8")),
  );
}

/** What `job plan fit` and `submit fit` have. */
export function addFitArguments(command: Command): Command {
  command
    .argument("<inputs...>", "files with the same number of channels, which all processes see")
    .option("--channel-axis <dimension>", "which dimension has the channels, from the end if negative", parseAxis, -1)
    .option("--no-mean", "apply will not subtract the mean")
    .option("--no-std", "apply will not divide by the deviation");
  return addPartOptions(command);
}

function addPartOptions(command: Command): Command {
  return addSourceOptions(command)
    .option("--parts <number>", "how many parts each phase has", parseParts)
    .option(
      "--part-size <bytes>",
      "of the input, such as 256MiB or 1GiB, in the place of --parts (default: 256MiB)",
      parsePartSize,
    )
    .option("--force", "replace a file of the output's name, once the new one is complete", false)
    .option("--quiet", "print nothing but errors", false);
}

/** Plans a layer's job in `folder`. Returns warnings. */
export async function planLayer(
  command: LayerCommand,
  input: string,
  options: LayerPlanOptions,
  folder: string,
): Promise<string[]> {
  if (input === STREAM) throw new UsageError("expected a file but got - (stdin): all processes read it");
  const warnings: string[] = [];
  const layers = await Layers.read(command, options);
  const source = { name: input, path: input };
  const dtypes = dtypePath(await lookAt(source, options, (text) => warnings.push(text)), options.dtypeOut);
  const x = { shape: await openShape(source, options), dtype: dtypes.computed };
  const suspicion = layers.suspect(x);
  if (suspicion !== undefined) warnings.push(`${input}: ${suspicion}`);
  const format = formatOfName(options.output);
  await naming(input, () =>
    planJob(
      layers.layerFor(x),
      { path: input, ...openOptionsOf(options), as: dtypes.computed },
      { path: options.output, format, storedAs: dtypes.output, ...(format === "safetensors" && { key: options.key }) },
      { folder, ...partsOf(options), channelAxis: options.channelAxis },
    ),
  );
  return warnings;
}

/** Plans a fit's job in `folder`. Returns warnings. */
export async function planFit(names: readonly string[], options: FitPlanOptions, folder: string): Promise<string[]> {
  const inputs = await expandInputs(names);
  if (inputs.includes(STREAM)) throw new UsageError("expected files but got - (stdin): all processes read them");
  const warnings: string[] = [];
  const sources: JobSource[] = [];
  for (const path of inputs) {
    await lookAt({ name: path, path }, options, (text) => warnings.push(text));
    sources.push({ path, ...openOptionsOf(options) });
  }
  const { output, channelAxis, mean, std } = options;
  await planFitJob(sources, output, { folder, ...partsOf(options), channelAxis, withMean: mean, withStd: std });
  return warnings;
}

function partsOf({ parts, partSize, force }: PartOptions) {
  if (parts !== undefined && partSize !== undefined) throw new UsageError("expected one of --parts and --part-size");
  return { parts, partBytes: partSize, force };
}
