// How the bench samples: in turn, so that a ratio is of one moment. No test fails on a time.
import { expect, test } from "vitest";
import { median, medianRatio, quantile, sampleInTurn } from "../bench/samples.js";
import { mediansOfRounds, sampleTurns } from "../bench/turns.js";

test("quantiles lie between neighbours, ratios are the rounds' own", () => {
  expect(quantile([3, 1, 2], 0.5)).toBe(2);
  expect(quantile([1, 2], 0.5)).toBe(1.5);
  expect(quantile([5], 0.99)).toBe(5);
  expect(medianRatio([2, 40, 6], [1, 10, 3])).toBe(2);
});

test("long calls run in turn: one of each candidate in every round", async () => {
  const { order, candidates } = recorded(["a", "b"]);
  const samples = await sampleInTurn(candidates, (round) => round >= 3);
  expect(order.join("")).toMatch(/^(ab)+$/);
  expect([...samples.values()].map(({ length }) => length)).toEqual([3, 3]);
});

test("short calls run in turn: some of each candidate in every round, and as many samples of each round", async () => {
  const { order, candidates } = recorded(["a", "b", "c"]);
  const rounds: number[] = [];
  const turns = { rounds: 4, milliseconds: 4, batchMilliseconds: 0 };
  const samples = await sampleTurns(candidates, turns, (round) => rounds.push(round));
  expect(rounds).toEqual([1, 2, 3, 4]);
  // What is warmed up comes first, each alone.
  expect(order.join("")).toMatch(/^a+b+c+(a+b+c+){4}$/);
  expect([...samples.keys()]).toEqual(["a", "b", "c"]);
  for (const values of samples.values()) {
    expect(values.length).toBeGreaterThanOrEqual(4);
    expect(values.length % 4).toBe(0);
    expect(mediansOfRounds(values, 4)).toHaveLength(4);
  }
});

test("a round's median is of its own samples", () => {
  expect(mediansOfRounds([1, 2, 3, 10, 20, 60], 2)).toEqual([2, 20]);
  expect(median(mediansOfRounds([5, 7], 2))).toBe(6);
});

/** Candidates that take no time, and the order in which they were called. */
function recorded(names: readonly string[]) {
  const order: string[] = [];
  const candidates = names.map((name) => ({ name, run: async () => order.push(name) }));
  return { order, candidates };
}
