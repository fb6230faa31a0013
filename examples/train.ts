// npm run train: a tiny classifier of handwritten digits, with a BatchNorm layer that normpool trains, and without it.
import { NormPool } from "normpool";
import { loadDigits } from "./data/digits.js";
import { Classifier } from "./train/classifier.js";
import { holdOut, train } from "./train/training.js";

const HELD_OUT = 2500;
const EPOCHS = 5;
const OPTIONS = { batch: 100, rate: 0.03, momentum: 0.9, seed: 1 };

const pool = new NormPool();
const { training, heldOut } = holdOut(loadDigits(), HELD_OUT, 2);
const networks = [true, false].map((batchNorm) => {
  const classifier = new Classifier(pool, { ...OPTIONS, batchNorm });
  return { classifier, epochs: train(classifier, training, 3) };
});

console.log(`${training.labels.length} digits to train with, ${HELD_OUT} held out; the two networks begin alike.

         784 -> 64 -> BatchNorm1d -> ReLU -> 10   without BatchNorm1d
  epoch     loss   right of those held out           loss   right of those held out`);
for (let epoch = 1; epoch <= EPOCHS; epoch++) {
  const columns: string[] = [];
  for (const { classifier, epochs } of networks) {
    const { value: loss } = await epochs.next();
    const right = 100 * (await classifier.accuracy(heldOut));
    columns.push(`${loss.toFixed(4)}   ${right.toFixed(2)} %`);
  }
  console.log(`  ${String(epoch).padStart(5)}   ${columns.join("                           ")}`);
}
console.log(`\n  ${networks[0]?.classifier.norm}`);
await pool.close();
