import { NormPool, type Progress, type Tensor } from "../index.js";
import { checkNpyFloat32, formatNpyHeader } from "../storage/npy.js";
import { writeOutput } from "../storage/output.js";
import type { LayerArguments, LayerCommand } from "./layers.js";
import { inspectNpy, readNpy, writeNpy } from "./npy-file.js";
import { Bar, type Summary, spreadOf } from "./report.js";

/** Cells that are looked at between two looks at the signal. */
const CELLS_AT_ONCE = 1 << 22;

export interface RunOptions extends LayerArguments {
  readonly output: string;
  readonly threads?: number;
  readonly quiet: boolean;
  /** Told what is no error but may not be what the user expects. */
  readonly onWarning: (message: string) => void;
}

/** INPUT.npy through a layer to OUTPUT.npy. The output exists only if all went well. */
export async function runLayer(
  command: LayerCommand,
  input: string,
  options: RunOptions,
  signal: AbortSignal,
): Promise<Summary> {
  const { output, threads, quiet, onWarning, channelAxis } = options;
  const { header, fileBytes } = await inspectNpy(input);
  const { shape } = header;
  const leftOver = checkNpyFloat32(input, header, fileBytes);
  if (leftOver > 0) onWarning(`${input}: ${leftOver} bytes after the cells of its shape are left out`);
  const layer = command.make(shape, options);
  layer.prepare(shape, { dtype: "float32", channelAxis, partOfBatch: false }); // a shape that does not fit is said before the file is read
  const bytes = formatNpyHeader(shape).length + fileBytes - leftOver - header.dataOffset;
  return writeOutput("npy", output, bytes, async (file) => {
    await using pool = new NormPool(threads === undefined ? {} : { threads });
    const bar = new Bar(3, !quiet);
    try {
      const x = await readNpy(pool, input, { signal, onShare: bar.step("reading") });
      const before = spreadOf(await pool.moments(x, { signal }));
      if (before.mean === null) {
        const cells = await countNotFinite(x, signal);
        if (cells > 0) onWarning(`${input}: ${cells} of its ${x.data.length} cells are NaN or infinite`);
      }
      const normalizing = bar.step("computing");
      const start = performance.now();
      const onProgress = ({ done, total }: Progress) => normalizing(done / total);
      await pool.forward(layer, x, { out: x, channelAxis, signal, onProgress });
      const milliseconds = performance.now() - start;
      const after = spreadOf(await pool.moments(x, { signal }));
      await writeNpy(file, x, { signal, onShare: bar.step("writing") });
      return {
        input,
        output,
        shape,
        layer: String(layer),
        threads: pool.threads,
        milliseconds,
        gigabytesPerSecond: (2 * x.data.byteLength) / milliseconds / 1e6,
        before,
        after,
      };
    } finally {
      bar.stop();
    }
  });
}

/** Asked for only where the mean is not finite: otherwise all cells are. */
async function countNotFinite({ data }: Tensor<"float32">, signal: AbortSignal): Promise<number> {
  let count = 0;
  for (let start = 0; start < data.length; start += CELLS_AT_ONCE) {
    signal.throwIfAborted();
    for (const value of data.subarray(start, start + CELLS_AT_ONCE)) if (!Number.isFinite(value)) count++;
    await new Promise(setImmediate);
  }
  return count;
}
