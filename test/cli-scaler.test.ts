// fit and apply, run as users run them.
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NormPool, readSafetensors, readSafetensorsMetadata, StandardScaler, writeSafetensors } from "normpool";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { emptyFolder, FIXTURES, readNpy, runIn, shellIn, writeNpy } from "./command.js";
import { expectSameBits, normal } from "./support.js";

const folder = emptyFolder();
const at = (name: string) => join(folder, name);
const run = (...args: string[]) => runIn(folder, args);
const pool = new NormPool({ threads: 1 });
afterAll(() => pool.close());

const FEATURES = 3;
const a = normal(200 * FEATURES, 1, 10, 2);
const b = normal(50 * FEATURES, 2, 11, 2);
beforeEach(() => {
  writeNpy(at("a.npy"), a, [200, FEATURES]);
  writeNpy(at("b.npy"), b, [50, FEATURES]);
});

async function fitted(): Promise<StandardScaler> {
  const scaler = new StandardScaler();
  await scaler.partialFit(pool, pool.from(a, [200, FEATURES]));
  return scaler.partialFit(pool, pool.from(b, [50, FEATURES]));
}

describe("fit and apply", () => {
  test("do what the library does, to files and back", async () => {
    const { status, stdout, stderr } = run("fit", "a.npy", "b.npy", "-o", "s.safetensors");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/inputs +2 files\nchannels 3 at dimension -1\nsamples +250 a channel\n/);
    const scaler = await fitted();
    expect(await readSafetensors(at("s.safetensors"))).toEqual(scaler.stateDict());
    expect(await readSafetensorsMetadata(at("s.safetensors"))).toEqual({
      with_mean: "true",
      with_std: "true",
      channel_axis: "-1",
    });

    const applied = run("apply", "s.safetensors", "a.npy", "-o", "y.npy", "--json");
    expect(JSON.parse(applied.stdout)).toMatchObject({
      input: "a.npy",
      output: "y.npy",
      shape: [200, 3],
      inverse: false,
    });
    const y = await scaler.transform(pool, pool.from(a, [200, FEATURES]));
    expectSameBits(readNpy(at("y.npy"), [200, FEATURES]), y.data);

    expect(run("apply", "s.safetensors", "y.npy", "-o", "back.npy", "--inverse", "--quiet")).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    const back = readNpy(at("back.npy"), [200, FEATURES]);
    // Of y a rounding at up to 8 deviations of 2, and its own at up to 32.
    for (const [i, value] of back.entries()) expect(Math.abs(value - (a[i] as number))).toBeLessThan(48 * 2 ** -24);
  });

  test("of channels elsewhere, without mean or deviation, to safetensors", async () => {
    expect(run("fit", "a.npy", "-o", "s.safetensors", "--channel-axis", "0", "--no-mean").status).toBe(0);
    expect(run("apply", "s.safetensors", "a.npy", "-o", "y.safetensors").status).toBe(0);
    const x = pool.from(a, [200, FEATURES]);
    const scaler = await new StandardScaler({ withMean: false, channelAxis: 0 }).fit(pool, x);
    const { tensor } = await readSafetensors(at("y.safetensors"));
    expectSameBits(tensor?.data as Float32Array, (await scaler.transform(pool, x)).data);
    expect(run("fit", "a.npy", "-o", "t.safetensors", "--no-std").status).toBe(0);
    const centred = run("apply", "t.safetensors", "a.npy", "-o", "y.npy");
    expect(centred.status).toBe(0);
    expect(readNpy(at("y.npy"), [200, FEATURES])[0]).toBeCloseTo((a[0] as number) - 10, 0);
  });

  test("apply takes scikit-learn's attributes; a scaler of normpool's is scikit-learn's (make-scaler.py)", () => {
    writeNpy(at("x.npy"), normal(16, 3), [2, 8]);
    expect(run("apply", join(FIXTURES, "sklearn.safetensors"), "x.npy", "-o", "y.npy").status).toBe(0);
    writeNpy(at("x.npy"), Float32Array.of(1, 2, 4, 8), [2, 2]);
    expect(run("fit", "x.npy", "-o", "s.safetensors").status).toBe(0);
    expect(readFileSync(at("s.safetensors"))).toEqual(readFileSync(join(FIXTURES, "normpool.safetensors")));
  });

  test("take patterns, folders and streams, as the layers do", async () => {
    expect(run("fit", "a.npy", "b.npy", "-o", "s.safetensors").status).toBe(0);
    expect(run("fit", "?.npy", "-o", "pattern.safetensors").status).toBe(0);
    expect(shellIn(folder, "cat a.npy | normpool fit - b.npy -o stream.safetensors").status).toBe(0);
    const expected = readFileSync(at("s.safetensors"));
    for (const name of ["pattern", "stream"]) expect(readFileSync(at(`${name}.safetensors`))).toEqual(expected);

    expect(run("apply", "s.safetensors", "a.npy", "b.npy", "--out-dir", "out").status).toBe(0);
    const { status, stderr } = shellIn(folder, "cat b.npy | normpool apply s.safetensors - -o - > y.npy");
    expect(stderr).toContain("scaler   s.safetensors");
    expect(status).toBe(0);
    expect(readFileSync(at("y.npy"))).toEqual(readFileSync(join(at("out"), "b.npy")));
    expect(run("apply", "s.safetensors", "b.npy", "--in-place").status).toBe(0);
    expect(readFileSync(at("b.npy"))).toEqual(readFileSync(at("y.npy")));
    expect(shellIn(folder, "cat y.npy | normpool stats - --json").stdout).toContain('"input":"stdin"');
  });

  test("apply knows with_mean and with_std as Python writes them, and nothing else", async () => {
    const scaler = await new StandardScaler({ channelAxis: -1 }).fit(pool, pool.from(a, [200, FEATURES]));
    const write = (with_mean: string) =>
      writeSafetensors(at("s.safetensors"), scaler.stateDict(), { metadata: { with_mean } });
    await write("False");
    expect(run("apply", "s.safetensors", "a.npy", "-o", "y.npy").status).toBe(0);
    expect(readNpy(at("y.npy"), [200, FEATURES])[0]).toBeGreaterThan(5);
    await write("no");
    expect(run("apply", "s.safetensors", "a.npy", "-o", "z.npy")).toMatchObject({
      status: 1,
      stderr: 'normpool: apply: s.safetensors: expected "true" or "false" for with_mean of its metadata but got "no"\n',
    });
  });

  test("and stats say which bytes they leave out, of raw cells too", () => {
    writeFileSync(at("cells.bin"), Buffer.alloc(4 * 3 * 2 + 1));
    const raw = ["--dtype", "float32", "--shape", "2,3"];
    const left = "normpool: warning: cells.bin: left out 1 byte after the cells of its shape\n";
    expect(run("fit", "cells.bin", "-o", "s.safetensors", ...raw)).toMatchObject({ status: 0, stderr: left });
    expect(run("stats", "cells.bin", ...raw)).toMatchObject({ status: 0, stderr: left });
    expect(run("stats", "cells.bin", ...raw, "--quiet")).toMatchObject({ status: 0, stderr: "" });
    expect(run("layer-norm", "cells.bin", "-o", "y.npy", ...raw)).toMatchObject({ status: 0, stderr: left });
  });

  test("leave NaN out, and count it", () => {
    writeNpy(at("nan.npy"), Float32Array.of(1, Number.NaN, 3, 5), [2, 2]);
    const { stdout } = run("fit", "nan.npy", "-o", "s.safetensors");
    expect(stdout).toContain("2 at dimension -1, 1 of them constant");
    expect(stdout).toContain("1 to 2 a channel, NaN left out");
  });

  test("replace no file unasked, and leave nothing of what fails", () => {
    writeFileSync(at("s.safetensors"), "old");
    const before = readdirSync(folder);
    expect(run("fit", "a.npy", "-o", "s.safetensors")).toEqual({
      status: 1,
      stdout: "",
      stderr: "normpool: fit: s.safetensors: it exists (--force replaces it, once the new one is complete)\n",
    });
    expect(readFileSync(at("s.safetensors"), "utf8")).toBe("old");
    writeNpy(at("wide.npy"), normal(8, 1), [2, 4]);
    expect(run("fit", "a.npy", "wide.npy", "-o", "t.safetensors").stderr).toBe(
      "normpool: fit: wide.npy: expected 3 channels at dimension -1, as a.npy has, but got 4 in shape [2, 4]\n",
    );
    writeNpy(at("inf.npy"), Float32Array.of(1, Number.POSITIVE_INFINITY), [2, 1]);
    expect(run("fit", "inf.npy", "-o", "t.safetensors").stderr).toMatch(
      /^normpool: fit: inf.npy: .*1 infinite ones in channel 0\n$/,
    );
    expect(run("fit", "a.npy", "-o", "s.safetensors", "--force").status).toBe(0);
    expect(run("apply", "s.safetensors", "a.npy", "-o", "b.npy").stderr).toContain(
      "(--force replaces it, once the new one is complete)",
    );
    expect(run("apply", "s.safetensors", "wide.npy", "-o", "y.npy").stderr).toBe(
      "normpool: apply: wide.npy: expected 3 channels at dimension 1 but got 4 in input of shape [2, 4]\n",
    );
    expect(run("apply", join(FIXTURES, "model.safetensors"), "a.npy", "-o", "y.npy").stderr).toMatch(
      /model.safetensors: .*missing keys "mean_"/,
    );
    expect(run("apply", "a.npy", "b.npy", "-o", "y.npy").stderr).toMatch(/^normpool: apply: a.npy: .*safetensors.*\n$/);
    expect(readdirSync(folder).sort()).toEqual([...before, "inf.npy", "wide.npy"].sort());
    copyFileSync(at("a.npy"), at("c.npy"));
    expect(run("apply", "s.safetensors", "c.npy", "-o", "c.npy", "--force").status).toBe(0);
    expect(readNpy(at("c.npy"), [200, FEATURES])[0]).not.toBe(a[0]);
  });
});

test.each(["fit", "apply", "stats"])(
  "the help of %s has an example, which it takes, and its errors name it",
  (name) => {
    const example = new RegExp(`\nExample:\n  normpool (${name} .*)\n$`).exec(run(name, "--help").stdout)?.[1];
    // A file that is not there comes after the arguments.
    const { status, stderr } = run(...(example ?? "").split(" "));
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/no such file or directory \(ENOENT\)|no file.s name is like that/),
    });
    expect(run(name)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining(`(normpool ${name} --help shows how)`),
    });
  },
);
