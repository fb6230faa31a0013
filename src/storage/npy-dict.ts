// The header of an .npy file: a Python dict literal with the keys descr, fortran_order and shape.
import { describe } from "../describe.js";
import type { Shape } from "../tensor/shape.js";
import { Scanner } from "./scanner.js";

export interface NpyDict {
  /** NumPy's type string, such as `<f4`; of a structured type, the literal as it is written. */
  readonly descr: string;
  /** Whether cells are records or arrays of several values. */
  readonly structured: boolean;
  readonly fortranOrder: boolean;
  readonly shape: Shape;
}

/**
 * Reads the dict in any order of keys, with any white space between tokens, either kind of quotes, trailing commas, and what
 * Python 2 wrote: `u'descr'` and `10L`. Throws what `error` makes of a message.
 */
export function parseNpyDict(text: string, error: (message: string) => Error): NpyDict {
  const scanner = new Scanner(text, error);
  const fields: { -readonly [K in keyof NpyDict]?: NpyDict[K] } = {};
  const keys = new Set<string>();
  scanner.expect("{");
  while (!scanner.take("}")) {
    const start = scanner.position;
    const key = parseString(scanner);
    scanner.expect(":");
    if (keys.has(key)) {
      scanner.position = start;
      throw scanner.unexpected(`${key} only once`);
    }
    keys.add(key);
    if (key === "descr") {
      fields.structured = scanner.peek("[({") !== "";
      fields.descr = fields.structured ? scanner.nested() : parseString(scanner);
    } else if (key === "fortran_order") fields.fortranOrder = parseBoolean(scanner);
    else if (key === "shape") fields.shape = parseShape(scanner);
    else throw error(`expected a header of descr, fortran_order and shape but got the key ${describe(key)}`);
    if (!scanner.take(",") && scanner.peek("}") === "") throw scanner.unexpected('"," or "}"');
  }
  scanner.expectEnd();
  const { descr, structured, fortranOrder, shape } = fields;
  if (descr === undefined || structured === undefined || fortranOrder === undefined || shape === undefined) {
    throw error(
      `expected a header with descr, fortran_order and shape but got ${[...keys].join(", ") || "none of them"}`,
    );
  }
  return { descr, structured, fortranOrder, shape };
}

/** What is between the quotes, as it is written. */
function parseString(scanner: Scanner): string {
  if (!scanner.take("u")) scanner.take("U");
  if (scanner.peek("'\"") === "") throw scanner.unexpected("a string");
  return scanner.quoted().slice(1, -1);
}

function parseBoolean(scanner: Scanner): boolean {
  if (scanner.take("True")) return true;
  if (scanner.take("False")) return false;
  throw scanner.unexpected("True or False");
}

/** A tuple of sizes. `(5)` counts as one too: others than NumPy write it. */
function parseShape(scanner: Scanner): Shape {
  const shape: number[] = [];
  scanner.expect("(");
  while (!scanner.take(")")) {
    shape.push(scanner.size());
    scanner.take("L");
    if (!scanner.take(",") && scanner.peek(")") === "") throw scanner.unexpected('"," or ")"');
  }
  return shape;
}
