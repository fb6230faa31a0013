// A file that is written appears whole or not at all, in the place of the one before.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { WriteFailedError } from "../src/index.js";
import { Output, writeOutput } from "../src/storage/output.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-output-"));
const at = (name: string) => join(folder, name);
const text = (path: string) => readFileSync(path, "utf8");
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  for (const name of readdirSync(folder)) rmSync(at(name), { recursive: true });
});

function write(name: string, content: string, bytes = content.length) {
  return writeOutput("test", at(name), bytes, (output) => output.write(Buffer.from(content)));
}

async function errorOf(promise: Promise<unknown>): Promise<WriteFailedError> {
  const error = await promise.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(WriteFailedError);
  return error as WriteFailedError;
}

test("nothing is under the name before the end, and nothing else after it", async () => {
  await writeOutput("test", at("a"), 6, async (output) => {
    await output.write(Buffer.from("abc"));
    await output.write(Uint16Array.of(0x6564, 0x6766).subarray(0, 1));
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^\.normpool-.*\.partial$/)]);
  });
  expect(readdirSync(folder)).toEqual(["a"]);
  expect(text(at("a"))).toBe("abcde");
});

test("a new file has the mode that a new file has", async () => {
  writeFileSync(at("other"), "");
  await write("a", "new");
  expect(statSync(at("a")).mode).toBe(statSync(at("other")).mode);
});

test.each([0o600, 0o640, 0o664, 0o777])("the mode of a file stays: %o", async (mode) => {
  writeFileSync(at("a"), "old");
  chmodSync(at("a"), mode);
  await write("a", "new");
  expect(text(at("a"))).toBe("new");
  expect(statSync(at("a")).mode & 0o7777).toBe(mode);
});

test("while it is written it is as closed to others as the file that it replaces", async () => {
  writeFileSync(at("a"), "old");
  chmodSync(at("a"), 0o600);
  const output = await Output.create("test", at("a"), 3);
  const [partial = ""] = readdirSync(folder).filter((name) => name !== "a");
  expect(statSync(at(partial)).mode & 0o7777).toBe(0o600);
  await output.abandon();
});

test("the file is where its name led when it was begun, wherever the process is at the end", () => {
  mkdirSync(at("elsewhere"));
  const script = `
    import { writeOutput } from ${JSON.stringify(new URL("../src/storage/output.js", import.meta.url).href)};
    await writeOutput("test", "a", 3, async (output) => {
      process.chdir("elsewhere");
      await output.write(Buffer.from("new"));
    });
  `;
  expect(spawnSync(process.execPath, ["--input-type=module", "-e", script], { cwd: folder }).status).toBe(0);
  expect(readdirSync(folder).sort()).toEqual(["a", "elsewhere"]);
});

describe("links", () => {
  test("stay, and what they lead to is replaced, from folder to folder", async () => {
    mkdirSync(at("models/old"), { recursive: true });
    writeFileSync(at("models/old/1"), "old");
    symlinkSync("old/1", at("models/latest"));
    symlinkSync("models", at("m"));
    symlinkSync(at("m/latest"), at("link"));
    await write("link", "new");
    expect([readlinkSync(at("link")), readlinkSync(at("models/latest"))]).toEqual([at("m/latest"), "old/1"]);
    expect(lstatSync(at("models/old/1")).isFile()).toBe(true);
    expect(text(at("models/old/1"))).toBe("new");
    expect(readdirSync(at("models/old"))).toEqual(["1"]);
  });

  test("to nothing get what they name", async () => {
    mkdirSync(at("real/deep"), { recursive: true });
    symlinkSync("real/deep", at("d"));
    // From the folder that d really is, not from the one that has the link d.
    symlinkSync("../made", at("real/deep/link"));
    await write("d/link", "new");
    expect(text(at("real/made"))).toBe("new");
    expect(lstatSync(at("d/link")).isSymbolicLink()).toBe(true);
  });

  test("count from where they lead, also in the name that is given", async () => {
    mkdirSync(at("far/deep"), { recursive: true });
    symlinkSync("far/deep", at("d"));
    // Not by join, which would take "d/.." away.
    await writeOutput("test", `${folder}/d/../b`, 3, (output) => output.write(Buffer.from("new")));
    symlinkSync("d/../c", at("link"));
    await write("link", "new");
    expect(readdirSync(at("far")).sort()).toEqual(["b", "c", "deep"]);
  });

  test("in a circle are refused", async () => {
    symlinkSync("b", at("a"));
    symlinkSync("a", at("b"));
    expect((await errorOf(write("a", "new"))).message).toBe(`test: ${at("a")}: cannot write there: too many links`);
  });
});

describe("what cannot be written is refused by its name, before any work", () => {
  test.each([
    ["", "it is no file name"],
    ["folder", "it is a folder"],
    ["folder/", "it is no file name"],
    ["pipe", "it is no regular file"],
    ["absent/a", "no such file or directory (ENOENT)"],
    ["file/a", "not a directory (ENOTDIR)"],
    ["n".repeat(300), "name too long (ENAMETOOLONG)"],
  ])("%s: %s", async (name, why) => {
    mkdirSync(at("folder"));
    writeFileSync(at("file"), "old");
    expect(spawnSync("mkfifo", ["pipe"], { cwd: folder }).status).toBe(0);
    const before = readdirSync(folder);
    const path = name === "" ? "" : at(name);
    const create = Output.create("test", path, 1);
    const { message, path: named } = await errorOf(create);
    expect({ message, named }).toEqual({ message: `test: ${path}: cannot write there: ${why}`, named: path });
    expect(readdirSync(folder)).toEqual(before);
  });

  test.skipIf(process.getuid?.() === 0)("a file that may not be written (skipped for root, who may)", async () => {
    writeFileSync(at("a"), "old");
    chmodSync(at("a"), 0o444);
    expect((await errorOf(write("a", "new"))).message).toContain("permission denied (EACCES)");
    expect(text(at("a"))).toBe("old");
  });

  test("more than there is room for", async () => {
    writeFileSync(at("a"), "old");
    const { message, cause } = await errorOf(write("a", "new", 2 ** 50));
    expect(message).toMatch(
      /a: cannot write there: expected room for 1125899906842624 bytes but \d+ are available \(ENOSPC\)$/,
    );
    expect(cause).toMatchObject({ code: "ENOSPC" });
    expect(readdirSync(folder)).toEqual(["a"]);
    expect(text(at("a"))).toBe("old");
  });
});

describe("nothing is left, and what was there stays,", () => {
  beforeEach(() => writeFileSync(at("a"), "old"));

  test("when the work fails, with the work's own error", async () => {
    const error = new Error("no more");
    const work = writeOutput("test", at("a"), 3, async (output) => {
      await output.write(Buffer.from("new"));
      throw error;
    });
    await expect(work).rejects.toBe(error);
    expect([readdirSync(folder), text(at("a"))]).toEqual([["a"], "old"]);
  });

  test("when the new name cannot be given", async () => {
    const work = writeOutput("test", at("a"), 3, async (output) => {
      await output.write(Buffer.from("new"));
      rmSync(at("a"));
      mkdirSync(at("a"));
    });
    expect((await errorOf(work)).message).toMatch(/a: cannot write there: .* \((?:EISDIR|EEXIST|ENOTEMPTY)\)$/);
    expect(readdirSync(folder)).toEqual(["a"]);
  });

  test("when the disk takes no more", () => {
    const script = `
      import { writeOutput } from ${JSON.stringify(new URL("../src/storage/output.js", import.meta.url).href)};
      const write = (output) => output.write(new Uint8Array(1 << 20));
      const error = await writeOutput("test", "a", 1 << 20, write).catch((reason) => reason);
      console.log(error.code, error.cause.code);
    `;
    const node = 'ulimit -f 64; exec "$0" --input-type=module -e "$1"';
    const { stdout } = spawnSync("sh", ["-c", node, process.execPath, script], { cwd: folder, encoding: "utf8" });
    expect(stdout).toBe("write-failed EFBIG\n");
    expect([readdirSync(folder), text(at("a"))]).toEqual([["a"], "old"]);
  });

  test("when the process exits in the middle", () => {
    const script = `
      import { readdirSync } from "node:fs";
      import { Output } from ${JSON.stringify(new URL("../src/storage/output.js", import.meta.url).href)};
      const [output] = await Promise.all([Output.create("test", "a", 3), Output.create("test", "b", 3)]);
      await output.write(Buffer.from("new"));
      console.log(readdirSync(".").length);
      process.exit(5);
    `;
    const node = ["--input-type=module", "-e", script];
    const { status, stdout } = spawnSync(process.execPath, node, { cwd: folder, encoding: "utf8" });
    expect({ status, stdout }).toEqual({ status: 5, stdout: "3\n" });
    expect([readdirSync(folder), text(at("a"))]).toEqual([["a"], "old"]);
  });

  test("and the process is no longer watched when the work is done", async () => {
    const before = process.listenerCount("exit");
    await write("b", "new");
    await errorOf(write("absent/c", "new"));
    const output = await Output.create("test", at("d"), 3);
    expect(process.listenerCount("exit")).toBe(before + 1);
    await output.abandon();
    expect(process.listenerCount("exit")).toBe(before);
  });
});
