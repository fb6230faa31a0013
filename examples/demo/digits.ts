// Real input: 10,000 handwritten digits through the command, from an .npy file to an .npy file.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatNpyHeader } from "../../src/storage/npy.js";
import { loadDigits, PIXELS, SIDE } from "../data/digits.js";

const COMMANDS = [
  // The default eps of 1e-5 would leave a deviation of 0.9999: these variances are as small as 0.1.
  ["batch-norm", "--eps", "1e-8"],
  ["layer-norm", "--normalized-shape", "28,28", "--eps", "1e-8"],
] as const;
const COMMAND = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

export async function runDigits(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "normpool-demo-"));
  try {
    const { images } = loadDigits();
    const input = join(folder, "digits.npy");
    const header = formatNpyHeader([images.length / PIXELS, 1, SIDE, SIDE]);
    writeFileSync(input, Buffer.concat([header, Buffer.from(images.buffer)]));
    console.log(`2. 10,000 handwritten digits through the command, in ${folder}, which is removed afterwards\n`);
    for (const [name, ...options] of COMMANDS) {
      console.log(`  normpool ${[name, "digits.npy", "-o", `${name}.npy`, ...options].join(" ")}`);
      const args = [COMMAND, name, input, "-o", join(folder, `${name}.npy`), ...options];
      const printed = execFileSync(process.execPath, args, { encoding: "utf8" });
      console.log(`${printed.trimEnd().replaceAll(folder, ".").replaceAll(/^/gm, "    ")}
`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
