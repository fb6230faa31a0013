type Values = Float32Array | Float64Array;

/** Stochastic gradient descent with momentum, as torch.optim.SGD: v = momentum * v + gradient; parameter -= rate * v. */
export class Sgd {
  readonly #rate: number;
  readonly #momentum: number;
  readonly #velocities = new Map<Values, Float64Array>();

  constructor(rate: number, momentum: number) {
    this.#rate = rate;
    this.#momentum = momentum;
  }

  /** Does nothing where a layer has no such parameter, and so no gradient of it. */
  step(parameter: Values | null, gradient: Values | null): void {
    if (parameter === null || gradient === null) return;
    const velocity = this.#velocities.get(parameter) ?? new Float64Array(parameter.length);
    this.#velocities.set(parameter, velocity);
    for (let i = 0; i < parameter.length; i++) {
      const v = this.#momentum * (velocity[i] as number) + (gradient[i] as number);
      velocity[i] = v;
      parameter[i] = (parameter[i] as number) - this.#rate * v;
    }
  }
}
