// A scaler in a safetensors file: its state, and beside it how it was made.
import { readSafetensors, readSafetensorsMetadata, StandardScaler, writeSafetensors } from "../index.js";
import { scalerMetadata } from "../scaler/scaler-state.js";
import { naming } from "./tensor-file.js";

export async function writeScaler(path: string, scaler: StandardScaler): Promise<void> {
  await writeSafetensors(path, scaler.stateDict(), { metadata: scalerMetadata(scaler) });
}

/** Of a file that says nothing of it, as scikit-learn's attributes saved by Python, the scaler is one by default. */
export async function readScaler(path: string): Promise<StandardScaler> {
  const { with_mean, with_std, channel_axis = "-1" } = await readSafetensorsMetadata(path);
  return naming(path, async () => {
    const scaler = new StandardScaler({
      withMean: flagOf(path, "with_mean", with_mean),
      withStd: flagOf(path, "with_std", with_std),
      channelAxis: Number(channel_axis),
    });
    scaler.loadStateDict(await readSafetensors(path));
    return scaler;
  });
}

/** Python writes True. */
function flagOf(path: string, name: string, text = "true"): boolean {
  const flag = text.toLowerCase();
  if (flag === "true" || flag === "false") return flag === "true";
  throw new Error(`${path}: expected "true" or "false" for ${name} of its metadata but got ${JSON.stringify(text)}`);
}
