// The training example, some steps of it: that its loss falls, and to the same bits every time.
import { describe, expect, test } from "vitest";
import { loadDigits } from "../examples/data/digits.js";
import { Classifier } from "../examples/train/classifier.js";
import { holdOut, train } from "../examples/train/training.js";
import { NormPool } from "../src/index.js";

/** So many images that the layer's tensors, of 64 cells an image, go to the workers. */
const LARGE = 2100;
const STEPS = 3;

const digits = loadDigits();

/** Steps with all of some images. Returns each one's loss, and the state of the BatchNorm layer after the last. */
async function runLarge(threads: number) {
  await using pool = new NormPool({ threads });
  const { heldOut: images } = holdOut(digits, LARGE, 1);
  const classifier = new Classifier(pool, { batchNorm: true, batch: LARGE, rate: 0.03, momentum: 0.9, seed: 2 });
  const epochs = train(classifier, images, 3);
  const losses: number[] = [];
  for (let step = 0; step < STEPS; step++) losses.push((await epochs.next()).value);
  return { losses, state: classifier.norm?.stateDict() };
}

describe("a network with a BatchNorm layer", () => {
  test("learns, to the same bits in each run and with each number of threads", async () => {
    const one = await runLarge(1);
    for (let step = 1; step < STEPS; step++) expect(one.losses[step]).toBeLessThan(one.losses[step - 1] as number);
    const { weight, bias, num_batches_tracked: count } = one.state ?? {};
    expect(count?.data[0]).toBe(BigInt(STEPS));
    expect(weight?.data).not.toEqual(new Float32Array(64).fill(1));
    expect(bias?.data).not.toEqual(new Float32Array(64));
    expect(await runLarge(1)).toEqual(one);
    expect(await runLarge(3)).toEqual(one);
  });

  test("does better than without it after an epoch of few images", async () => {
    await using pool = new NormPool({ threads: 1 });
    const { training, heldOut } = holdOut(digits, 1000, 4);
    const few = holdOut(training, 2000, 5).heldOut;
    const results: number[] = [];
    for (const batchNorm of [true, false]) {
      const classifier = new Classifier(pool, { batchNorm, batch: 50, rate: 0.03, momentum: 0.9, seed: 6 });
      await train(classifier, few, 7).next();
      results.push(await classifier.accuracy(heldOut));
    }
    const [withNorm = 0, without = 0] = results;
    expect(withNorm).toBeGreaterThan(0.8);
    expect(withNorm).toBeGreaterThan(without);
  });
});
