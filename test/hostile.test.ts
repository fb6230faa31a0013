// Every public function, and everything in its arguments, with every hostile value: it works, or fails with an error of the family that says what
// was expected, and nothing else has happened.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FileFormatError, LayerNorm, NormPool, NormpoolError, type Tensor } from "../src/index.js";
import { allFaces, type Face, proxyUses } from "./hostile-faces.js";
import { HOSTILE } from "./hostile-values.js";

const folder = mkdtempSync(join(tmpdir(), "normpool-hostile-"));
const pool = new NormPool({ threads: 1 });
afterAll(async () => {
  await pool.close();
  rmSync(folder, { recursive: true });
});

/** Beside those that calls are given: nobody is to touch it. */
const bystander = pool.from(Float32Array.of(1, 2, 4, 7), [1, 4]);

/** Keys from outside in, of all that lies in arguments. */
function placesOf(value: unknown): PropertyKey[][] {
  if (!isPlain(value)) return [];
  return Object.keys(value).flatMap((key) => [
    [key],
    ...placesOf(Reflect.get(value, key)).map((rest) => [key, ...rest]),
  ]);
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}

function put(args: unknown[], place: readonly PropertyKey[], value: unknown): void {
  let holder: object = args;
  for (const key of place.slice(0, -1)) holder = Reflect.get(holder, key) as object;
  Reflect.set(holder, place.at(-1) as PropertyKey, value);
}

/** The tensors and layers in arguments. */
function watchedIn(value: unknown): object[] {
  if (isPlain(value)) return Object.values(value).flatMap(watchedIn);
  return typeof value === "object" && value !== null && ("dtype" in value || "prepare" in value) ? [value] : [];
}

/** What a call that fails must leave as it is: cells, parameters, statistics. */
function contentsOf(watched: readonly object[]): string {
  const fields = ["data", "weight", "bias", "runningMean", "runningVar", "numBatchesTracked", "numFeatures"];
  return JSON.stringify(watched.map((one) => fields.map((field) => Reflect.get(one, field) ?? null)));
}

/** What is wrong with how a call failed; undefined where nothing is. */
function faultOf(error: unknown): string | undefined {
  // What the system says of a file that it does not have.
  if (error instanceof Error && "syscall" in error) return undefined;
  if (!(error instanceof NormpoolError)) {
    return error instanceof Error ? error.stack?.split("\n").slice(0, 4).join(" | ") : String(error);
  }
  const { message, operation } = error;
  if (operation === "" || !message.startsWith(`${operation}: `)) return `no operation: ${message}`;
  if (/\[object [A-Z]|is not a function|Cannot read/.test(message)) return `the inside's words: ${message}`;
  // Sizes, and files, have words of their own.
  if (/expected .* but got |^.*: asked for \d+ bytes, |cannot (write there|read it): /.test(message)) return undefined;
  if (error instanceof FileFormatError && message.includes(": expected ")) return undefined;
  return `not in the family's form: ${message}`;
}

/** What is wrong with how a call ended. */
async function outcomeOf(call: () => unknown, watched: readonly object[] = []): Promise<string | undefined> {
  const before = contentsOf(watched);
  try {
    const value = await call();
    // The pool's memory is not for all results at once.
    if (isTensor(value) && !watched.includes(value)) value.dispose();
    return undefined;
  } catch (error) {
    return faultOf(error) ?? (contentsOf(watched) === before ? undefined : "it changed what it was given, and failed");
  }
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "dispose" in value;
}

const faces = allFaces(pool, folder);

test.each(faces.map((face) => [face.name, face] as const))("%s", async (_, face) => {
  if (face.mayRefuse !== true) await face.call(...(face.args() as never[]));
  const faults: string[] = [];
  for (const place of placesOf(face.args())) {
    for (const [name, make] of Object.entries(HOSTILE)) {
      const fault = await tryOne(face, place, make());
      if (fault !== undefined) faults.push(`${place.map(String).join(".")} = ${name}: ${fault}`);
    }
  }
  expect(faults).toEqual([]);
  expect(bystander.data).toEqual(Float32Array.of(1, 2, 4, 7));
  using y = await pool.forward(new LayerNorm(4), bystander);
  expect(Array.from(y.data, (cell) => cell.toFixed(3))).toEqual(["-1.091", "-0.655", "0.218", "1.528"]);
});

async function tryOne(
  { name, args, call }: Face,
  place: readonly PropertyKey[],
  value: unknown,
): Promise<string | undefined> {
  const given = args();
  const watched = watchedIn(given);
  put(given, place, value);
  const fault = await outcomeOf(() => call(...(given as never[])), watched);
  // What callbacks and streams throw is theirs.
  const theirs =
    typeof value === "function" ? /^(on|update)/.test(String(place.at(-1))) : name === "pool.map" && place[0] === "0";
  return theirs ? undefined : fault;
}

test.each(proxyUses(pool))("%s of a Proxy", async (_, use) => {
  expect(await outcomeOf(use)).toBeUndefined();
});
