// The dict of an .npy header: what NumPy writes and wrote, what it does not, and how long any text may take.
import { describe, expect, test } from "vitest";
import { parseNpyDict } from "../src/storage/npy-dict.js";

const parse = (text: string) => parseNpyDict(text, (message) => new Error(message));

const PLAIN = { descr: "<f4", structured: false, fortranOrder: false, shape: [3, 4] };

describe("a header is read", () => {
  test.each([
    ["as NumPy writes it", "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n"],
    ["with keys in any order", "{'shape': (3, 4), 'descr': '<f4', 'fortran_order': False}"],
    ["with double quotes", '{"descr": "<f4", "fortran_order": False, "shape": (3, 4)}'],
    ["with Python 2's long integers", "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4L), }"],
    ["with Python 2's texts", "{u'descr': u'<f4', u'fortran_order': False, u'shape': (3, 4), }"],
    ["without white space", "{'descr':'<f4','fortran_order':False,'shape':(3,4)}"],
    ["with much white space", " \t{\n'descr'\r\n: '<f4' , 'fortran_order' :\tFalse,'shape': ( 3 , 4 , ) , } \n\n"],
  ])("%s", (_, text) => {
    expect(parse(text)).toEqual(PLAIN);
  });

  test.each([
    ["()", []],
    ["(5,)", [5]],
    ["(5)", [5]],
    ["(0, 9007199254740991)", [0, 9007199254740991]],
  ])("with the shape %s", (tuple, shape) => {
    expect(parse(`{'descr': '<f4', 'fortran_order': True, 'shape': ${tuple}}`)).toMatchObject({
      fortranOrder: true,
      shape,
    });
  });

  test.each([
    "[('a', '<f4'), ('b', '<i4')]",
    "[('p', [('x', '<f4'), ('y', '<f4', (2, 3))]), (\"it's\", '<i4'), ('say \"so\"', '|S3')]",
    "[(('title', 'name'), '<f4'), ('', '|V4'), ('br[ack}et', '<f4'), ('it\\'s', '<f4')]",
    "('<f4', (2,))",
    "{'names': ['a'], 'formats': ['<f4'], 'offsets': [0], 'itemsize': 8}",
  ])("with the structured type %s", (descr) => {
    const dict = parse(`{'descr': ${descr}, 'fortran_order': False, 'shape': (3, 4), }`);
    expect(dict).toEqual({ ...PLAIN, structured: true, descr });
  });
});

describe("a header is refused, with where and why,", () => {
  test.each([
    ["that is empty", "", 'expected "{" at character 0 of the header but got its end'],
    ["that is cut short", "{'descr': '<f4', 'fort", "expected a string that ends at character 17"],
    ["without shape", "{'descr': '<f4', 'fortran_order': False}", "but got descr, fortran_order"],
    ["without keys", "{}", "but got none of them"],
    ["with a key of another kind", "{'descr': '<f4', 'order': 'C'}", 'but got the key "order"'],
    ["with a key twice", "{'descr': '<f4', 'descr': '<f8'}", "expected descr only once at character 17"],
    ["with a negative size", withShape("(-1,)"), "expected a whole number below 2^53 at character 51"],
    ["with a size of 2^53", withShape("(9007199254740992,)"), "expected a whole number below 2^53"],
    ["with a size that is no integer", withShape("(1.5,)"), 'expected "," or ")" at character 52'],
    ["with a leading zero, which was octal", withShape("(010,)"), "expected a whole number below 2^53"],
    ["with a list as shape", withShape("[3, 4]"), 'expected "(" at character 50'],
    ["with only a comma as shape", withShape("(,)"), "expected a whole number below 2^53"],
    ["with 1 for True", "{'fortran_order': 1}", "expected True or False at character 18"],
    ["with brackets that do not match", "{'descr': [('a', '<f4'], 'shape': (1,)}", "expected brackets that match"],
    ["with more after it", `${withShape("(3,)")} x`, "expected the end at character 56"],
    ["with another type than text", "{'descr': None}", "expected a string at character 10"],
  ])("%s", (_, text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  function withShape(shape: string): string {
    return `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}}`;
  }
});

// Of regular expressions such texts made seconds; a step for each character makes some milliseconds.
test.each([
  ["spaces", `{${" ".repeat(65_535)}`],
  ["spaces in a shape", `{'shape': (1${" ".repeat(65_500)}x`],
  ["digits", `{'shape': (${"1".repeat(65_500)}`],
  ["sizes", `{'shape': (${"1, ".repeat(21_000)}x`],
  ["braces", `{${"} ".repeat(32_000)}`],
  ["open brackets", `{'descr': ${"[".repeat(65_500)}`],
  ["brackets", `{'descr': [${"[], ".repeat(16_000)}`],
  ["quotes", `{'descr': [${"'a' ".repeat(16_000)}`],
  ["backslashes", `{'descr': '${"\\".repeat(65_500)}`],
  ["commas", `{${",".repeat(65_500)}`],
])("64 KiB of %s are refused in a moment", (_, text) => {
  const start = performance.now();
  expect(() => parse(text)).toThrow();
  expect(performance.now() - start).toBeLessThan(500);
});
