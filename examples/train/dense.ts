// A dense layer in plain loops: what normpool is not for.
import type { Sgd } from "./sgd.js";

/** y = x * weight + bias, of rows. Most cells of x are expected to be 0: those cost nothing. */
export class Dense {
  /** `[inputs, outputs]`. */
  readonly weight: Float32Array;
  /** `[outputs]`. */
  readonly bias: Float32Array;
  readonly #gradWeight: Float32Array;
  readonly #gradBias: Float32Array;
  readonly #inputs: number;
  readonly #outputs: number;

  /** Weights as He et al. (2015, arXiv:1502.01852) begin, but uniform. */
  constructor(inputs: number, outputs: number, random: () => number) {
    this.#inputs = inputs;
    this.#outputs = outputs;
    const bound = Math.sqrt(6 / inputs);
    this.weight = Float32Array.from({ length: inputs * outputs }, () => bound * (2 * random() - 1));
    this.bias = new Float32Array(outputs);
    this.#gradWeight = new Float32Array(inputs * outputs);
    this.#gradBias = new Float32Array(outputs);
  }

  forward(x: Float32Array, y: Float32Array): void {
    const { weight, bias } = this;
    const inputs = this.#inputs;
    const outputs = this.#outputs;
    for (let from = 0, to = 0; to < y.length; from += inputs, to += outputs) {
      y.set(bias, to);
      for (let i = 0; i < inputs; i++) {
        const value = x[from + i] as number;
        if (value === 0) continue;
        const row = i * outputs;
        for (let o = 0; o < outputs; o++) y[to + o] = (y[to + o] as number) + value * (weight[row + o] as number);
      }
    }
  }

  /** Sums the parameters' gradients over the rows, and writes the input's to `gradX` where it is wanted. */
  backward(x: Float32Array, gradY: Float32Array, gradX?: Float32Array): void {
    const { weight } = this;
    const inputs = this.#inputs;
    const outputs = this.#outputs;
    const gradWeight = this.#gradWeight.fill(0);
    const gradBias = this.#gradBias.fill(0);
    for (let from = 0, to = 0; to < gradY.length; from += inputs, to += outputs) {
      for (let o = 0; o < outputs; o++) gradBias[o] = (gradBias[o] as number) + (gradY[to + o] as number);
      for (let i = 0; i < inputs; i++) {
        const value = x[from + i] as number;
        const row = i * outputs;
        if (value !== 0) {
          for (let o = 0; o < outputs; o++) {
            gradWeight[row + o] = (gradWeight[row + o] as number) + value * (gradY[to + o] as number);
          }
        }
        if (gradX === undefined) continue;
        let sum = 0;
        for (let o = 0; o < outputs; o++) sum += (weight[row + o] as number) * (gradY[to + o] as number);
        gradX[from + i] = sum;
      }
    }
  }

  update(sgd: Sgd): void {
    sgd.step(this.weight, this.#gradWeight);
    sgd.step(this.bias, this.#gradBias);
  }
}
