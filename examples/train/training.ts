import { type Digits, PIXELS } from "../data/digits.js";
import type { Classifier } from "./classifier.js";
import { seeded, shuffle } from "./random.js";

/** Trains in shuffled batches, epoch after epoch; yields each one's mean loss. What does not fill a batch waits for the next epoch. */
export async function* train(classifier: Classifier, digits: Digits, seed: number): AsyncGenerator<number, never> {
  const random = seeded(seed);
  const order = Uint32Array.from(digits.labels.keys());
  const batch = emptyDigits(classifier.batch);
  const steps = Math.floor(order.length / classifier.batch);
  while (true) {
    shuffle(order, random);
    let loss = 0;
    for (let step = 0; step < steps; step++) {
      loss += await classifier.step(
        gather(digits, order.subarray(step * classifier.batch, (step + 1) * classifier.batch), batch),
      );
    }
    yield loss / steps;
  }
}

/** Splits the digits in two at random: `count` to hold out, the rest to train with. */
export function holdOut(digits: Digits, count: number, seed: number): { training: Digits; heldOut: Digits } {
  const order = shuffle(Uint32Array.from(digits.labels.keys()), seeded(seed));
  return { training: gather(digits, order.subarray(count)), heldOut: gather(digits, order.subarray(0, count)) };
}

function emptyDigits(count: number): Digits {
  return { images: new Float32Array(count * PIXELS), labels: new Uint8Array(count) };
}

/** Copies of the digits at `which`. */
function gather({ images, labels }: Digits, which: Uint32Array, target = emptyDigits(which.length)): Digits {
  which.forEach((from, to) => {
    target.images.set(images.subarray(from * PIXELS, (from + 1) * PIXELS), to * PIXELS);
    target.labels[to] = labels[from] as number;
  });
  return target;
}
