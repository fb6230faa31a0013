import { NormPool } from "../index.js";
import { checkNpyFloat32 } from "../storage/npy.js";
import type { LayerArguments, LayerCommand } from "./layers.js";
import { inspectNpy, PendingNpy, readNpy } from "./npy-file.js";
import { Bar, type Summary, spreadOf } from "./report.js";

export interface RunOptions extends LayerArguments {
  readonly output: string;
  readonly threads?: number;
  readonly quiet: boolean;
}

/** INPUT.npy through a layer to OUTPUT.npy. The output exists only if all went well. */
export async function runLayer(
  command: LayerCommand,
  input: string,
  options: RunOptions,
  signal: AbortSignal,
): Promise<Summary> {
  const { header, fileBytes } = await inspectNpy(input);
  checkNpyFloat32(input, header, fileBytes);
  const layer = command.make(header.shape, options);
  layer.prepare(header.shape, { dtype: "float32", channelAxis: undefined, partOfBatch: false }); // a shape that does not fit is said before the file is read
  await using pool = new NormPool(options.threads === undefined ? {} : { threads: options.threads });
  const bar = new Bar(3, !options.quiet);
  let pending: PendingNpy | undefined;
  try {
    pending = await PendingNpy.create(options.output);
    const x = await readNpy(pool, input, { signal, onShare: bar.step("reading") });
    const before = spreadOf(await pool.moments(x, { signal }));
    const normalizing = bar.step("computing");
    const start = performance.now();
    await pool.forward(layer, x, { out: x, signal, onProgress: ({ done, total }) => normalizing(done / total) });
    const milliseconds = performance.now() - start;
    const after = spreadOf(await pool.moments(x, { signal }));
    await pending.write(x, { signal, onShare: bar.step("writing") });
    pending = undefined;
    return {
      input,
      output: options.output,
      shape: x.shape,
      layer: String(layer),
      threads: pool.threads,
      milliseconds,
      gigabytesPerSecond: (2 * x.data.byteLength) / milliseconds / 1e6,
      before,
      after,
    };
  } finally {
    bar.stop();
    await pending?.abandon();
  }
}
