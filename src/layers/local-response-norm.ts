import { type Complete, checkPositiveInteger, readOptions } from "../check.js";
import { describe } from "../describe.js";
import { InvalidArgumentError, InvalidShapeError } from "../errors.js";
import { formatShape, product, type Shape } from "../tensor/shape.js";
import { BaseLayer, pythonFloat } from "./base-layer.js";
import { refuseChannelAxis } from "./channel-axis.js";
import type { LayerCall, Response } from "./layer.js";
import type { StateEntry } from "./state.js";

export interface LocalResponseNormOptions {
  /** Factor of the sum of squares, which is divided by `size`. Default 1e-4. */
  readonly alpha?: number | undefined;
  /** Exponent. Default 0.75. */
  readonly beta?: number | undefined;
  /** Added to the sum. Default 1. */
  readonly k?: number | undefined;
}

/**
 * Local response normalisation (Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks"),
 * as torch.nn.LocalResponseNorm: y = x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta. Of an even `size` one more
 * of them comes before than after.
 *
 * Input `[N, C, *]` of rank 3 or more, output the same. No parameters, no state; the same in training and evaluation.
 */
export class LocalResponseNorm extends BaseLayer {
  /** Neighbouring channels that are summed. */
  readonly size: number;
  /** Factor of the sum of squares. */
  readonly alpha: number;
  /** Exponent. */
  readonly beta: number;
  /** Added to the sum. */
  readonly k: number;

  /** @throws InvalidArgumentError */
  constructor(size: number, options?: LocalResponseNormOptions) {
    super();
    const { alpha, beta, k } = readOptions<Complete<LocalResponseNormOptions>>(this.name, options, {
      alpha: 1e-4,
      beta: 0.75,
      k: 1,
    });
    this.size = checkPositiveInteger(this.name, "size", size);
    this.alpha = this.#checkNumber("alpha", alpha);
    this.beta = this.#checkNumber("beta", beta);
    this.k = this.#checkNumber("k", k);
    this.fix("size", "alpha", "beta", "k");
  }

  get name(): string {
    return "LocalResponseNorm";
  }

  /** What a pool is to compute for an input of this shape. @throws InvalidShapeError, InvalidArgumentError */
  prepare(shape: Shape, { channelAxis }: LayerCall): Response {
    refuseChannelAxis(this.name, channelAxis);
    if (shape.length < 3) {
      const message = `expected input of at least 3 dimensions but got ${shape.length}D input of shape ${formatShape(shape)}`;
      throw new InvalidShapeError(this.name, message, shape);
    }
    const [samples, channels] = shape as [number, number];
    const { size, alpha, beta, k } = this;
    const space = product(shape, 2, shape.length);
    return { kind: "response", samples, channels, space, size, alpha, beta, k };
  }

  protected override stateEntries(): StateEntry[] {
    return [];
  }

  protected override representation(): string {
    const { size, alpha, beta, k } = this;
    return `${size}, alpha=${pythonFloat(alpha)}, beta=${pythonFloat(beta)}, k=${pythonFloat(k)}`;
  }

  #checkNumber(argument: string, value: unknown): number {
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw new InvalidArgumentError(this.name, argument, "a finite number", describe(value));
  }
}
