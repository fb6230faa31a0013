// Headers of both formats, changed at random: each is read or refused, by no other error than a FileFormatError, and none takes long.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FileFormatError, readSafetensors } from "../src/index.js";
import { formatNpyHeader } from "../src/storage/npy.js";
import { locateNpy } from "../src/storage/npy-cells.js";
import { parseSafetensorsHeader } from "../src/storage/safetensors-header.js";
import { safetensorsFile } from "./safetensors-file.js";
import { seeded } from "./support.js";

const COUNT = 100_000;
const folder = mkdtempSync(join(tmpdir(), "normpool-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true }));

const fixture = (name: string) => readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url));

/** Bytes that mean something to one of the parsers. */
const TELLING = Buffer.from("{}[]()'\":,\\ \n0919.-eLuTFn<f4\x00\x93\xff", "latin1");

/** Some of: a byte flipped or put in, a piece cut off, left out, doubled or moved, the end of another. */
function mutate(seed: Buffer, other: Buffer, random: () => number): Buffer {
  let bytes = Buffer.from(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let changes = 1 + below(4); changes > 0; changes--) {
    const from = below(bytes.length + 1);
    const to = Math.min(bytes.length, from + below(24));
    const piece = bytes.subarray(from, to);
    const [before, after] = [bytes.subarray(0, from), bytes.subarray(from)];
    const kind = below(7);
    if (kind === 0 && from < bytes.length) bytes[from] = (bytes[from] as number) ^ (1 << below(8));
    else if (kind === 1 && from < bytes.length) bytes[from] = TELLING[below(TELLING.length)] as number;
    else if (kind === 2) bytes = Buffer.concat([before, TELLING.subarray(below(TELLING.length)).subarray(0, 1), after]);
    else if (kind === 3) bytes = Buffer.from(before);
    else if (kind === 4) bytes = Buffer.concat([before, bytes.subarray(to)]);
    else if (kind === 5) bytes = Buffer.concat([before, ...Array<Buffer>(1 + below(40)).fill(piece), after]);
    else bytes = Buffer.concat([before, other.subarray(below(other.length))]);
  }
  return bytes;
}

/** What becomes of COUNT mutants: how many are read, and what the first one threw that is no FileFormatError. */
async function fuzz(seeds: readonly Buffer[], count: number, read: (mutant: Buffer, i: number) => unknown) {
  const random = seeded(7);
  const any = () => seeds[Math.floor(random() * seeds.length)] as Buffer;
  let good = 0;
  let longest = 0;
  for (let i = 0; i < count; i++) {
    const mutant = mutate(any(), any(), random);
    const start = performance.now();
    try {
      await read(mutant, i);
      good++;
    } catch (error) {
      if (!(error instanceof FileFormatError)) expect.fail(`mutant ${i}, ${mutant.toString("latin1")}: ${error}`);
    }
    longest = Math.max(longest, performance.now() - start);
  }
  return { good, longest };
}

test(`${COUNT} mutants of .npy headers`, async () => {
  const names = ["v1", "v2", "v3", "scalar", "empty", "fortran", "float64", "structured", "nested", "named"];
  const old = Buffer.from('{"shape": (3L, 4L), u"descr": "<f4", \'fortran_order\': False}  \n');
  const files = [
    ...names.map((name) => fixture(`${name}.npy`).subarray(0, 256)),
    formatNpyHeader([1, 2, 3, 4, 5]),
    old,
  ];
  const { good, longest } = await fuzz(files, COUNT, async (mutant, i) => {
    let file = mutant;
    // Half of them with magic and length put right, so that the dict is what is wrong.
    if (i % 2 === 0) {
      file = Buffer.concat([Buffer.from("\x93NUMPY\x02\x00\x00\x00\x00\x00", "latin1"), mutant.subarray(10)]);
      file.writeUInt32LE(file.length - 12, 8);
    }
    const readAt = async (position: number, length: number) => file.subarray(position, position + length);
    const { shape } = await locateNpy("npy", { path: "x.npy", size: 2 ** 50, readAt }, undefined);
    expect(shape.every((size) => Number.isSafeInteger(size) && size >= 0)).toBe(true);
  });
  // Some are good still: what is fuzzed is the parser, not only its first check.
  expect(good).toBeGreaterThan(COUNT / 100);
  expect(longest).toBeLessThan(2000);
}, 120_000);

const tensor = (dtype: string, shape: number[], begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const SAFETENSORS_SEEDS = [
  { x: tensor("F32", [1], 0, 4), y: tensor("I64", [], 4, 12) },
  { __metadata__: { format: "pt", "é\n\ud83d\ude00": "" }, "a.b": tensor("F16", [2, 3], 0, 12) },
  { x: { ...tensor("BF16", [6], 0, 12), more: [null, { a: [1.5e3, "]"] }] }, zero: tensor("F4", [0], 0, 0) },
].map((header) => Buffer.from(JSON.stringify(header)));

test(`${COUNT} mutants of safetensors headers`, async () => {
  const error = (message: string) => new FileFormatError("test", "x", message);
  const { good, longest } = await fuzz(SAFETENSORS_SEEDS, COUNT, (mutant) => {
    const { tensors } = parseSafetensorsHeader(mutant, 12, error);
    for (const { begin, end } of tensors.values()) expect(0 <= begin && begin <= end && end <= 12).toBe(true);
  });
  expect(good).toBeGreaterThan(COUNT / 100);
  expect(longest).toBeLessThan(2000);
}, 120_000);

test("2,000 mutants of safetensors files, lengths and cells too", async () => {
  const path = join(folder, "x.safetensors");
  const files = SAFETENSORS_SEEDS.map((header) => Buffer.concat([safetensorsFile(header), Buffer.alloc(12, 1)]));
  const { good } = await fuzz(files, 2000, async (mutant) => {
    writeFileSync(path, mutant);
    await readSafetensors(path);
  });
  expect(good).toBeGreaterThan(5);
}, 120_000);
