// Every layer against PyTorch 2.13: test/conformance/README.md says what the cases are. PyTorch's float32 results are met within the
// case's tolerance, which allows PyTorch its own error; its float64 results, where a case has them, within ulps; and
// no result of ours is further from those than PyTorch's float32 one.
import { afterAll, describe, expect, test } from "vitest";
import { NormPool, type SetMoments, type Tensor } from "../src/index.js";
import { type Case, conformanceFiles, type InputDtype, OPS, readCase, readCases } from "./conformance-cases.js";
import { compute, makeLayer, makeTensor, pairResults } from "./conformance-layers.js";
import { askOracle, scalesOf } from "./conformance-oracle.js";
import { largest, overflows, spacing, worstError } from "./rounding.js";

/** How many cases there are: [shared, further]. One more or less here is one more or less in the files. */
const COUNTS: Readonly<Record<(typeof OPS)[number], readonly [number, number]>> = {
  BatchNorm1d: [32, 27],
  BatchNorm2d: [28, 51],
  BatchNorm3d: [28, 19],
  GroupNorm: [20, 47],
  InstanceNorm1d: [24, 26],
  InstanceNorm2d: [24, 51],
  InstanceNorm3d: [24, 19],
  LayerNorm: [14, 39],
  LocalResponseNorm: [6, 53],
  RMSNorm: [12, 34],
};

const FILES = new Map(
  conformanceFiles()
    .filter((file) => file.endsWith(".jsonl"))
    .map((file) => [file, readCases(file)]),
);
const CASES = [...FILES.values()].flat();
const WITH_REFERENCE = CASES.filter(({ reference }) => reference !== null);

/**
 * Results in which infinities meet, so that which non-finite number a cell gets hangs on the order of operations. dweight is the sum of
 * g * xhat, -Infinity here; PyTorch's GroupNorm finds it as (sum of g * x - mean * sum of g) * rstd, Infinity less Infinity.
 */
const ANY_NON_FINITE: Readonly<Record<string, readonly string[]>> = {
  "GroupNorm.float32.infinity-in-grad-output": ["grad_input", "grad_weight"],
  "LayerNorm.float32.infinity-in-grad-output": ["grad_input"],
};

const pool = new NormPool({ threads: 2 });
afterAll(() => pool.close());

describe("the cases", () => {
  test("are in these files, in these numbers", () => {
    const others = ["README.md", "make-cases.py", "torch-errors.json"];
    const files = OPS.flatMap((op) => [`${op}.jsonl`, `further-${op}.jsonl`]);
    expect(conformanceFiles()).toEqual([...files, ...others].sort());
    for (const op of OPS) {
      const [shared, further] = [FILES.get(`${op}.jsonl`) ?? [], FILES.get(`further-${op}.jsonl`) ?? []];
      expect([shared.length, further.length], op).toEqual(COUNTS[op]);
      for (const c of [...shared, ...further]) expect(c.op, c.name).toBe(op);
    }
    expect(CASES).toHaveLength(212 + 366);
    expect(WITH_REFERENCE).toHaveLength(310);
    expect(CASES.filter(({ torchOverflows }) => torchOverflows)).toHaveLength(2);
  });

  test("have each a name of its own", () => {
    const names = CASES.map(({ name }) => name);
    expect(new Set(names).size).toBe(CASES.length);
    expect(names).toEqual(expect.arrayContaining(Object.keys(ANY_NON_FINITE)));
  });

  const tensor = { dtype: "float32", shape: [1, 2], data: [1, "NaN"] };
  const attrs = { args: [2], kwargs: {}, training: true };
  const inputs = { input: tensor, grad_output: tensor, state_dict: {} };
  const outputs = { output: tensor, grad_input: tensor, state_dict_after: {} };
  const json = { case: "", op: "LayerNorm", attrs, inputs, outputs, tolerance: { rtol: 0, atol: 0 } };
  test.each([
    ["op", { ...json, op: "WeightNorm" }],
    ["key", { ...json, backend: "cpu" }],
    ["attribute", { ...json, attrs: { ...attrs, affine: true } }],
    ["input", { ...json, inputs: { ...inputs, mask: tensor } }],
    ["state", { ...json, inputs: { ...inputs, state_dict: { scale: tensor } } }],
    ["output", { ...json, outputs: { ...outputs, grad_scale: tensor } }],
    ["dtype", { ...json, inputs: { ...inputs, input: { ...tensor, dtype: "float8" } } }],
    ["tolerance", { ...json, tolerance: { ...json.tolerance, ulps: 1 } }],
  ])("with an unknown %s are refused", (_, unknown) => {
    expect(readCase(json, "line").op).toBe("LayerNorm");
    expect(() => readCase(unknown, "line")).toThrow(/unknown/);
  });

  test.each([
    ["an unknown name", { args: [2], kwargs: { epsilon: 1 } }],
    ["too many of them", { args: [2, 1e-5, true, true, null], kwargs: {} }],
    ["one of them twice", { args: [2, 1e-5], kwargs: { eps: 1e-5 } }],
    ["one of another type", { args: [2, "small"], kwargs: {} }],
  ])("whose layers have arguments with %s are refused", (_, given) => {
    expect(() => makeLayer(readCase({ ...json, attrs: { ...attrs, ...given } }, "line"))).toThrow();
  });
});

describe("PyTorch's results", () => {
  test.each(named(CASES))("%s", async (name, c) => {
    const { outputs, tolerance, torchOverflows } = c;
    const { rtol, atol } = tolerance;
    const computed = await compute(pool, c);
    expect(Object.keys(computed.state)).toEqual(Object.keys(outputs.state));
    for (const [key, { shape }] of Object.entries(outputs.state)) expect(computed.state[key]?.shape).toEqual(shape);
    for (const [what, actual, expected] of pairResults(computed, outputs)) {
      if (torchOverflows && !(what in outputs.state)) continue;
      const anyNonFinite = ANY_NON_FINITE[name]?.includes(what) ?? false;
      expectCells(what, actual, expected, (value) => atol + rtol * Math.abs(value), anyNonFinite);
    }
  });
});

describe("the same bits in place, and with the moments of the forward pass", () => {
  test.each(named(CASES))("%s", async (_, c) => {
    const { channelAxis, op, training, state } = c;
    const [layer, inPlace] = [makeLayer(c), makeLayer(c)];
    const [input, x, gradOutput] = [
      makeTensor(pool, c.input),
      makeTensor(pool, c.input),
      makeTensor(pool, c.gradOutput),
    ];
    let moments: SetMoments | undefined;
    const onMoments = (found: SetMoments) => {
      moments = found;
    };
    const output = await pool.forward(layer, input, { channelAxis, onMoments });
    await pool.forward(inPlace, x, { channelAxis, out: x });
    expectLike(c.outputs.output.shape, c.input.dtype, output);
    expectSameBytes("output", x.data, output.data);
    expect(inPlace.stateDict()).toEqual(layer.stateDict());
    expect(moments !== undefined).toBe(op !== "LocalResponseNorm" && (training || !("running_mean" in state)));

    const found = await pool.backward(layer, { input, gradOutput, channelAxis });
    const saved = await pool.backward(layer, { input, gradOutput, channelAxis, moments, out: gradOutput });
    expectLike(c.outputs.gradInput.shape, c.input.dtype, found.gradInput);
    expectSameBytes("grad_input", saved.gradInput.data, found.gradInput.data);
    expect(saved.gradWeight).toEqual(found.gradWeight);
    expect(saved.gradBias).toEqual(found.gradBias);
  });
});

/** Float32 ulps at a result's scale, as test/accuracy.test.ts derives them. */
const ULPS = { plain: 2, withWeights: 3 };

describe("float64's results, within ulps", () => {
  test.each(named(WITH_REFERENCE))("%s", async (_, c) => {
    if (c.reference === null) return expect.fail("a case without a reference");
    const computed = await compute(pool, c);
    const oracle = askOracle(c, makeLayer(c));
    const scales = scalesOf(c, oracle);
    for (const [what, actual, expected] of pairResults(computed, c.reference)) {
      const dtype = what === "output" || what === "grad_input" ? c.input.dtype : "float32";
      const ulps = what === "output" && "weight" in c.state ? ULPS.withWeights : ULPS.plain;
      const bound = (value: number, i: number) => {
        const inFloat32 = ulps * spacing("float32", scales[what]?.[i] as number);
        // A half type's cell is rounded once more, from float32.
        return dtype === "float32" ? inFloat32 : inFloat32 + spacing(dtype, Math.abs(value) + inFloat32) / 2;
      };
      const rounded = Array.from(expected, (value) => (overflows(dtype, value) ? Math.sign(value) * Infinity : value));
      expectCells(what, actual, rounded, bound);
    }
    oracle.weightScale?.forEach((scale, i) => {
      // Every term is 0, so the sum is exactly that: a cell alone in its set does not deviate. In PyTorch it is not.
      if (scale === 0 && computed.gradWeight !== null) expect(Math.abs(computed.gradWeight[i] as number)).toBe(0);
    });
  });
});

test("the oracle, which says what the ulps are relative to, has PyTorch's float64 results", () => {
  for (const c of WITH_REFERENCE) {
    if (c.reference === null) return expect.fail("a case without a reference");
    const oracle = askOracle(c, makeLayer(c));
    const scales = scalesOf(c, oracle);
    const { y: output, gradInput } = oracle;
    // It has gradients of a weight and bias that are not there, too.
    const gradWeight = c.reference.gradWeight && (oracle.gradWeight ?? null);
    const gradBias = c.reference.gradBias && (oracle.gradBias ?? null);
    const results = { output, gradInput, gradWeight, gradBias, state: {} };
    for (const [what, actual, expected] of pairResults(results, { ...c.reference, state: {} })) {
      // PyTorch's own rounding in float64, where the mean is a million deviations.
      const bound = (_: number, i: number) => 0.05 * spacing("float32", scales[what]?.[i] as number);
      expectCells(`${c.name} ${what}`, actual, expected, bound);
    }
  }
});

describe("no further from float64 than PyTorch is", () => {
  const float32 = WITH_REFERENCE.filter(({ input }) => input.dtype === "float32");

  test("in 260 cases", () => expect(float32).toHaveLength(260));

  test.each(named(float32))("%s", async (_, c) => {
    if (c.reference === null) return expect.fail("a case without a reference");
    const computed = await compute(pool, c);
    const scales = scalesOf(c, askOracle(c, makeLayer(c)));
    const torch = new Map(pairResults(computed, c.outputs).map(([what, , theirs]) => [what, theirs]));
    for (const [what, actual, reference] of pairResults(computed, c.reference)) {
      const theirs = worstError(torch.get(what) ?? [], reference);
      const ulp = spacing("float32", largest(reference));
      // Where the true gradient is 0, float64 leaves a rest of what cancels.
      const bound = theirs + Math.max(ulp, spacing("float64", largest(scales[what] ?? [])));
      const message = `${what}, of which PyTorch's worst error is ${theirs} and an ulp ${ulp}`;
      expect(worstError(actual, reference), message).toBeLessThanOrEqual(bound);
    }
  });
});

function named(cases: readonly Case[]): [string, Case][] {
  return cases.map((c) => [c.name, c]);
}

/**
 * Holds every cell within `bound` of the one expected, and what is not finite equal (or where `anyNonFinite` also not finite). On failure
 * prints the first cell's index, both values and the bound.
 */
function expectCells(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: (value: number, i: number) => number,
  anyNonFinite = false,
): void {
  expect(actual.length, what).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] as number, expected[i] as number];
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    if (anyNonFinite && !Number.isFinite(a) && !Number.isFinite(e)) continue;
    const allowed = Number.isFinite(e) ? bound(e, i) : 0;
    if (!(Math.abs(a - e) <= allowed)) expect.fail(`${what}, cell ${i}: got ${a}, expected ${e} within ${allowed}`);
  }
}

function expectLike(shape: readonly number[], dtype: InputDtype, tensor: Tensor): void {
  expect(tensor.shape).toEqual(shape);
  expect(tensor.dtype).toBe(dtype);
}

function expectSameBytes(what: string, actual: ArrayBufferView, expected: ArrayBufferView): void {
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => Buffer.from(buffer, byteOffset, byteLength);
  if (!bytes(actual).equals(bytes(expected))) expect.fail(`${what}: got ${actual}, expected the bits of ${expected}`);
}
