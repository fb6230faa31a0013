// The peers' comparison from file to file, with peers that need no library: normpool itself, one that is wrong, one that is not there.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FilePeersResult } from "../bench/file-peers.js";
import { Conversation } from "../bench/peers/conversation.js";
import {
  BLOCK,
  checkFile,
  interleave,
  readBlocks,
  takeColumn,
  writeBlocks,
  writeInput,
} from "../bench/peers/files/cells.js";
import { measureFilePeers } from "../bench/peers/files/measure.js";
import { FILE_PEERS, type FilePeer, NORMPOOL } from "../bench/peers/files/start.js";
import { readNpy } from "../src/index.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Answers `version`, then each question by what `answer` makes of it. */
function speaker(answer: string): Conversation {
  const program = `const fs = require("node:fs");
    console.log('{"version":"1"}');
    require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
      const ask = JSON.parse(line);
      console.log(JSON.stringify(${answer}));
    });`;
  return new Conversation(process.execPath, ["-e", program]);
}

describe("a conversation", () => {
  test("is a line for a line", async () => {
    const conversation = speaker("{ milliseconds: ask.number + 1 }");
    expect(await conversation.answer()).toEqual({ version: "1" });
    expect(await conversation.ask({ number: 1 })).toEqual({ milliseconds: 2 });
    expect(await conversation.ask({ number: 2 })).toEqual({ milliseconds: 3 });
    await conversation.end();
  });

  test("rejects with what the process says of an error, and with its last words where it ends", async () => {
    const conversation = speaker(`ask.fails ? { error: "no room" } : process.exit(console.error("the end"))`);
    await conversation.answer();
    await expect(conversation.ask({ fails: true })).rejects.toThrow("no room");
    await expect(conversation.ask({})).rejects.toThrow("the end");
    await conversation.end();
  });

  test("does not wait for a process that a signal ended", async () => {
    const conversation = speaker(`process.kill(process.pid, "SIGKILL")`);
    await conversation.answer();
    await expect(conversation.ask({})).rejects.toThrow("its process ended");
    await conversation.end();
  });
});

describe("cells", () => {
  const [rows, columns] = [BLOCK + 3, 5];

  test("an input is an .npy file, read block by block, and the columns that are taken from it make the same file", async () => {
    const [input, again] = [join(folder, "x.npy"), join(folder, "x.raw")];
    await writeInput(input, rows, columns);
    const { shape, data } = await readNpy(input);
    expect(shape).toEqual([rows, columns]);
    const taken = Array.from({ length: columns }, () => new Float32Array(rows));
    const sizes: number[] = [];
    for (const block of readBlocks(input, rows, columns)) {
      sizes.push(block.rows);
      for (const [c, column] of taken.entries()) takeColumn(block, c, column, block.first);
    }
    expect(sizes).toEqual([BLOCK, 3]);
    await writeBlocks(again, [interleave(taken, 0, BLOCK), interleave(taken, BLOCK, 3)]);
    const bytes = readFileSync(again);
    expect(new Float32Array(bytes.buffer, bytes.byteOffset, rows * columns)).toEqual(data);
    checkFile(again, input, rows, columns);
  });

  test("a cell beyond the bound is named by its index, and a file that is too short is no result", () => {
    const [input, wrong] = [join(folder, "x.npy"), join(folder, "wrong.raw")];
    const bytes = readFileSync(join(folder, "x.raw"));
    const at = 4 * (BLOCK * columns + 7);
    bytes.writeFloatLE(bytes.readFloatLE(at) + 0.01, at);
    writeFileSync(wrong, bytes);
    expect(() => checkFile(wrong, input, rows, columns)).toThrow(`cell ${BLOCK * columns + 7} is `);
    writeFileSync(wrong, bytes.subarray(4));
    expect(() => checkFile(wrong, input, rows, columns)).toThrow("fewer than");
  });
});

describe("a quick comparison", () => {
  const leftOut: string[] = [];
  let result: FilePeersResult | undefined;

  beforeAll(async () => {
    const copies = `(fs.copyFileSync(ask.input, ask.output), { milliseconds: 1 })`;
    const peers: FilePeer[] = [
      { ...NORMPOOL, name: "itself" },
      { name: "a copy", format: ".npy", hasThreads: false, start: () => speaker(copies) },
      { name: "nobody", format: ".npy", hasThreads: false, start: () => new Conversation(join(folder, "absent"), []) },
    ];
    const options = { threads: 2, quick: true, memory: 2 ** 30, onShare: () => {}, python: "absent" };
    result = await measureFilePeers(options, leftOut, peers);
  });

  test("times a peer whose result is normpool's, and says what both take", () => {
    expect(result).toMatchObject({ shape: [16_384, 256], threads: 2, rounds: 1 });
    expect(result?.rows).toHaveLength(1);
    const [row] = result?.rows ?? [];
    expect(row).toMatchObject({ peer: "itself", format: ".npy", peerThreads: 2 });
    for (const time of [row?.peerTime, result?.normpoolTime]) {
      expect(time?.samples).toHaveLength(1);
      expect(time?.median).toBeGreaterThan(0);
    }
    if (process.platform === "linux") {
      for (const peak of [row?.peak, result?.normpoolPeak]) expect(peak).toBeGreaterThan(2 ** 20);
    }
  });

  test("leaves out one whose result is another, and one that does not start", () => {
    expect(leftOut).toHaveLength(2);
    expect(leftOut[0]).toMatch(/^nobody, files: .*ENOENT/);
    expect(leftOut[1]).toMatch(/^a copy, files: cell 0 is .* not within/);
  });

  test("without any peer measures nothing", async () => {
    const options = { threads: 1, quick: true, memory: 2 ** 30, onShare: () => {}, python: "absent" };
    expect(await measureFilePeers(options, [], [])).toBeUndefined();
  });
});

test("each peer has a name of its own", () => {
  expect(new Set(FILE_PEERS.map(({ name }) => name)).size).toBe(FILE_PEERS.length);
});
