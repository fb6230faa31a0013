// Reading safetensors files: what Python wrote, files as large as a process can hold, and what is no such file.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import {
  BatchNorm2d,
  FileFormatError,
  LayerNorm,
  readSafetensors,
  readSafetensorsMetadata,
  writeSafetensors,
} from "../src/index.js";
import { safetensorsFile } from "./safetensors-file.js";

const MODEL = fileURLToPath(new URL("../../test/fixtures/model.safetensors", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "normpool-safetensors-"));
const path = join(folder, "x.safetensors");
afterAll(() => rmSync(folder, { recursive: true }));

describe("a file that Python wrote", () => {
  test("loads, with a prefix", async () => {
    const dict = await readSafetensors(MODEL);
    expect(Object.keys(dict).length).toBe(16);
    const layer = new LayerNorm([2, 3]);
    layer.loadStateDict(dict, { prefix: "encoder.norm1." });
    expect(layer.weight?.length).toBe(6);
    const batch = new BatchNorm2d(4, { momentum: null });
    batch.loadStateDict(await readSafetensors(MODEL, { prefix: "encoder.norm2." }), { prefix: "encoder.norm2." });
    expect(batch.numBatchesTracked).toBe(3);
  });

  test("has the values that torch prints, in every dtype", async () => {
    const dict = await readSafetensors(MODEL);
    for (const [key, values] of Object.entries(PRINTED))
      expect(Array.from<number | bigint, number>(dict[key]?.data ?? [], Number)).toEqual(values);
  });

  test("has its metadata", async () => {
    expect(await readSafetensorsMetadata(MODEL)).toEqual({ made: "by make-safetensors.py" });
  });
});

test("a file without metadata has none", async () => {
  await writeSafetensors(path, {});
  expect(await readSafetensorsMetadata(path)).toEqual({});
});

test("each tensor has a buffer of its own, of its own size", async () => {
  const dict = await readSafetensors(MODEL);
  for (const { data } of Object.values(dict)) expect(data.buffer.byteLength).toBe(data.byteLength);
});

test("every float16 and bfloat16 is the float32 of the same value, however many there are", async () => {
  // All bits there are, several times over what is widened at once.
  const halves = Uint16Array.from({ length: 600_000 }, (_, i) => i);
  const shape = [halves.length];
  const bytes = new Uint8Array(halves.buffer);
  const end = bytes.length;
  const header = {
    half: { dtype: "F16", shape, data_offsets: [0, end] },
    brain: { dtype: "BF16", shape, data_offsets: [end, 2 * end] },
  };
  writeFileSync(path, Buffer.concat([safetensorsFile(JSON.stringify(header)), bytes, bytes]));
  const { half, brain } = await readSafetensors(path);
  const view = new DataView(new ArrayBuffer(4));
  for (let i = 0; i < halves.length; i++) {
    const bits = i & 0xffff;
    const sign = bits & 0x8000 ? -1 : 1;
    const fraction = (bits & 1023) / 1024;
    const exponent = (bits >> 10) & 31;
    const value =
      exponent === 31
        ? fraction
          ? Number.NaN
          : sign / 0
        : exponent
          ? sign * (1 + fraction) * 2 ** (exponent - 15)
          : sign * fraction * 2 ** -14;
    view.setUint32(0, bits << 16);
    if (!Object.is(half?.data[i], value)) expect.fail(`F16 ${bits}: got ${half?.data[i]}, expected ${value}`);
    if (!Object.is(brain?.data[i], view.getFloat32(0))) expect.fail(`BF16 ${bits}: got ${brain?.data[i]}`);
  }
});

// Of holes, so that they take no room on the disk.
describe.skipIf(freemem() < 5 * 2 ** 30)("large tensors (skipped where less than 5 GiB are free)", () => {
  test.each([
    ["of 2 GiB", 2 ** 31],
    ["just below 2 GiB", 2 ** 31 - 8],
  ])("%s are read whole", async (_, bytes) => {
    const cells = bytes / 8;
    // The last cell is no zero.
    const last = Buffer.alloc(8);
    last.writeBigInt64LE(-7n);
    writeHoles("I64", cells, bytes, last);
    const { x } = await readSafetensors(path);
    expect(x?.data.length).toBe(cells);
    expect([x?.data[0], x?.data[cells - 1]]).toEqual([0n, -7n]);
  });
});

test("a tensor that fits in no ArrayBuffer is an error that says so", async () => {
  writeHoles("F32", 2 ** 38, 2 ** 40, Buffer.alloc(0));
  const error: unknown = await readSafetensors(path).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(FileFormatError);
  expect((error as Error).message).toContain(
    '"x": expected a tensor that fits in an ArrayBuffer but its shape is [274877906944] (prefix can leave it out)',
  );
  expect(await readSafetensors(path, { prefix: "y" })).toEqual({});
});

function writeHoles(dtype: string, cells: number, bytes: number, last: Buffer): void {
  const header = safetensorsFile(JSON.stringify({ x: { dtype, shape: [cells], data_offsets: [0, bytes] } }));
  writeFileSync(path, header);
  truncateSync(path, header.length + bytes - last.length);
  writeFileSync(path, last, { flag: "a" });
}

describe("what is no safetensors file is named", () => {
  const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22ead\nsize 12345\n";
  const legacy = Buffer.from("80028a0a6cfc9c46f9206aa850192e80024de9032e80027d71002858100000", "hex");
  const zip = (entry: string) => {
    const start = Buffer.alloc(30);
    start.write("PK\x03\x04", "latin1");
    start.writeUInt16LE(entry.length, 26);
    return Buffer.concat([start, Buffer.from(entry), Buffer.alloc(100)]);
  };

  test.each<[string, string | Buffer, RegExp]>([
    ["nothing", "", /expected a safetensors file but it has 0 bytes$/],
    ["a Git LFS pointer", lfs, /seems to be a Git LFS pointer: git lfs pull brings the file itself$/],
    ["a web page", "\n<!DOCTYPE html>\n<html><body>Log in</body></html>", /seems to be a web page: .* wants a login$/],
    ["a web page in XML", '\ufeff<?xml version="1.0"?><Error>AccessDenied</Error>', /seems to be a web page/],
    [
      "an index of files",
      '{\n  "metadata": {"total_size": 1}, "weight_map": {}}',
      /seems to be a list of files in JSON/,
    ],
    ["a checkpoint", zip("archive/data.pkl"), /a PyTorch checkpoint, a zip with a pickle: .*torch\.load.*save_file$/],
    ["an old checkpoint", legacy, /a Python pickle, such as an old PyTorch checkpoint: .*save_file$/],
    ["an .npz file", zip("weight.npy"), /an \.npz file, a zip of arrays: .*safetensors\.numpy\.save_file/],
    ["another zip", zip("readme.txt"), /a zip archive: unpack it$/],
    ["an .npy file", Buffer.from("\x93NUMPY\x01\x00\x76\x00{'descr': '<f4'", "latin1"), /an \.npy file: .*save_file/],
    ["an HDF5 file", Buffer.from("\x89HDF\r\n\x1a\n\x00\x00\x00\x00", "latin1"), /an HDF5 file: .*h5py/],
    ["nothing that is known", "hello, I am not a tensor", /expected a header of at most 16 bytes but got \d+$/],
  ])("%s", async (_, content, message) => {
    writeFileSync(path, content);
    const error: unknown = await readSafetensors(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileFormatError);
    expect((error as Error).message).toMatch(message);
  });

  test("but not a safetensors file whose length happens to begin as a pickle does", async () => {
    // 0x280 is 80 02 in the file's order.
    writeFileSync(path, safetensorsFile('{"x":{}'.padEnd(0x280)));
    await expect(readSafetensors(path)).rejects.toThrow(/^(?!.*seems to be)/);
  });
});

// What make-safetensors.py printed.
const PRINTED: Record<string, number[]> = {
  "encoder.norm2.running_mean": [0.9770023822784424, 0.9482855796813965, 0.960089921951294, 1.084397554397583],
  "encoder.norm2.num_batches_tracked": [3.0],
  "encoder.half.weight": [0.370361328125, 1.4560546875, 0.93994140625, 0.77490234375],
  "encoder.brain.bias": [0.1923828125, 0.54296875, -2.21875, 0.259765625],
  "encoder.double.weight": [-1.029702181843019, -0.5007584123764369, 0.27336773842007633],
};
