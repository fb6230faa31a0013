// Reading a file in pieces, as the system gives them.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { FileFormatError } from "../src/index.js";
import { Input, withInput } from "../src/storage/input.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-input-"));
afterAll(() => rmSync(folder, { recursive: true }));

const content = Buffer.from(Array.from({ length: 1000 }, (_, i) => (i * 37) % 251));

/** A file that gives at most `most` bytes at once, as network file systems do, and large ones where 2 GiB are asked for. */
function reluctant(most: number) {
  const asked: number[] = [];
  const read = async (into: Uint8Array, offset: number, length: number, position: number) => {
    asked.push(length);
    const bytesRead = content.copy(into, offset, position, Math.min(content.length, position + Math.min(length, most)));
    return { bytesRead, buffer: into };
  };
  return {
    input: new Input("test", "x", { id: "1:1", size: content.length, modified: "0" }, {
      read,
    } as unknown as FileHandle),
    asked,
  };
}

describe.each([1, 7, 1000])("a file that gives %i bytes at once", (most) => {
  test("fills what is to be filled, from the position on, and nothing beside it", async () => {
    const words = new Uint16Array(102);
    await reluctant(most).input.fill(words.subarray(1, 101), 300);
    expect(Buffer.from(words.buffer, 2, 200)).toEqual(content.subarray(300, 500));
    expect([words[0], words[101]]).toEqual([0, 0]);
  });

  test("has fewer bytes only at its end", async () => {
    const { input } = reluctant(most);
    expect(await input.readAt(990, 100)).toEqual(content.subarray(990));
    await expect(input.fill(new Uint8Array(11), 990)).rejects.toThrow(
      "test: x: the file became shorter while it was read",
    );
  });
});

test("no more than 64 MiB are asked for at once: the system's calls take less than 2 GiB", async () => {
  const { input, asked } = reluctant(1000);
  await input.readAt(0, 200 << 20);
  expect(Math.max(...asked)).toBe(64 << 20);
});

test("a file that becomes shorter while it is read is an error of its own", async () => {
  const path = join(folder, "short");
  writeFileSync(path, content);
  const reading = withInput("test", path, async (input) => {
    truncateSync(path, 10);
    await input.fill(new Uint8Array(1000), 0);
  });
  await expect(reading).rejects.toThrow(FileFormatError);
});
