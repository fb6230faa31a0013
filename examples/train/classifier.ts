// A small classifier: dense, BatchNorm1d (or none), ReLU, dense.
import { BatchNorm1d, type NormPool, type SetMoments, type Tensor } from "normpool";
import { type Digits, PIXELS } from "../data/digits.js";
import { Dense } from "./dense.js";
import { countCorrect, crossEntropy } from "./loss.js";
import { seeded } from "./random.js";
import { Sgd } from "./sgd.js";

const HIDDEN = 64;
const CLASSES = 10;

export interface ClassifierOptions {
  /** Whether the BatchNorm layer is there. */
  readonly batchNorm: boolean;
  /** Images of a training step. */
  readonly batch: number;
  readonly rate: number;
  readonly momentum: number;
  readonly seed: number;
}

export class Classifier {
  /** Images of a training step. */
  readonly batch: number;
  /** The BatchNorm layer, where there is one. */
  readonly norm: BatchNorm1d | null;
  readonly #pool: NormPool;
  readonly #first: Dense;
  readonly #second: Dense;
  readonly #sgd: Sgd;
  // Made once and used by every step: fresh memory costs more than the arithmetic.
  readonly #hidden: Tensor<"float32">;
  readonly #normalised: Tensor<"float32">;
  readonly #gradient: Tensor<"float32">;
  readonly #logits: Float32Array;

  constructor(pool: NormPool, { batchNorm, batch, rate, momentum, seed }: ClassifierOptions) {
    const random = seeded(seed);
    this.batch = batch;
    this.norm = batchNorm ? new BatchNorm1d(HIDDEN) : null;
    this.#pool = pool;
    this.#first = new Dense(PIXELS, HIDDEN, random);
    this.#second = new Dense(HIDDEN, CLASSES, random);
    this.#sgd = new Sgd(rate, momentum);
    this.#hidden = pool.tensor("float32", [batch, HIDDEN]);
    this.#normalised = pool.tensor("float32", [batch, HIDDEN]);
    this.#gradient = pool.tensor("float32", [batch, HIDDEN]);
    this.#logits = new Float32Array(batch * CLASSES);
  }

  /** One step of training with a batch. Returns its loss before the step. */
  async step({ images, labels }: Digits): Promise<number> {
    const hidden = this.#hidden;
    const gradient = this.#gradient;
    const logits = this.#logits;
    let active = hidden;
    let moments: SetMoments | undefined;
    this.#first.forward(images, hidden.data);
    if (this.norm !== null) {
      active = await this.#pool.forward(this.norm.train(), hidden, {
        out: this.#normalised,
        onMoments: (found) => {
          moments = found;
        },
      });
    }
    rectify(active.data);
    this.#second.forward(active.data, logits);
    const loss = crossEntropy(logits, labels);

    this.#second.backward(active.data, logits, gradient.data);
    active.data.forEach((cell, i) => {
      if (cell === 0) gradient.data[i] = 0;
    });
    if (this.norm !== null) {
      // The input's gradient takes the place of the output's.
      const given = { input: hidden, gradOutput: gradient, out: gradient, moments };
      const { gradWeight, gradBias } = await this.#pool.backward(this.norm, given);
      this.#sgd.step(this.norm.weight, gradWeight);
      this.#sgd.step(this.norm.bias, gradBias);
    }
    this.#first.backward(images, gradient.data);
    this.#first.update(this.#sgd);
    this.#second.update(this.#sgd);
    return loss;
  }

  /** The share of images whose digit is found, with the running statistics. */
  async accuracy({ images, labels }: Digits): Promise<number> {
    using hidden = this.#pool.tensor("float32", [labels.length, HIDDEN]);
    this.#first.forward(images, hidden.data);
    if (this.norm !== null) await this.#pool.forward(this.norm.eval(), hidden, { out: hidden });
    rectify(hidden.data);
    const logits = new Float32Array(labels.length * CLASSES);
    this.#second.forward(hidden.data, logits);
    return countCorrect(logits, labels) / labels.length;
  }
}

/** ReLU in place. */
function rectify(cells: Float32Array): void {
  for (let i = 0; i < cells.length; i++) if (!((cells[i] as number) > 0)) cells[i] = 0;
}
