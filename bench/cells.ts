// Tensors of the bench: seeded cells of any dtype, and their values.
import type { Dtype, NormPool, Shape, Tensor } from "../src/index.js";

const bits = new Uint32Array(1);
const number = new Float32Array(bits.buffer);

/** So many cells are drawn, a prime number of them; larger tensors repeat them. */
const DRAWN = 1_048_583;

/** What a call takes a tensor as: input, gradient of the output, result. */
export type Role = "x" | "x about 0" | "g" | "y";

/**
 * Inputs are numbers between 1.3 and 4.7, "about 0" (float32 only) between -1.7 and 1.7; gradients are as inputs, with both signs. Bytes are fifty times
 * as much; numbers of 16 bits are cut off.
 */
export function fill(tensor: Tensor, role: Exclude<Role, "y">): void {
  const { data, dtype } = tensor;
  const middle = role === "x about 0" ? 0 : 3;
  let state = role === "g" ? 2 : 1;
  for (let i = 0; i < Math.min(DRAWN, data.length); i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    const isNegative = role === "g" && Math.imul(state, 0x9e3779b1) < 0;
    const value = middle + (state / 2 ** 31) * 1.7;
    const sign = isNegative ? 0x8000 : 0;
    if (dtype === "bfloat16") {
      number[0] = value;
      data[i] = sign | ((bits[0] as number) >>> 16);
    } else if (dtype === "float16" && data instanceof Uint16Array) {
      number[0] = value;
      // Of exponents between 2^-14 and 2^15 only the bias differs.
      data[i] = sign | (((bits[0] as number) - (112 << 23)) >>> 13);
    } else if (dtype === "uint8") data[i] = value * 50;
    else data[i] = isNegative ? -value : value;
  }
  for (let filled = DRAWN; filled < data.length; filled *= 2) data.copyWithin(filled, 0, filled);
}

/** How to read a cell of `tensor` as a number. */
export function reader({ data, dtype }: Tensor): (index: number) => number {
  if (dtype === "bfloat16") {
    return (index) => {
      bits[0] = (data[index] as number) << 16;
      return number[0] as number;
    };
  }
  if (dtype === "float16" && data instanceof Uint16Array) {
    return (index) => {
      const half = data[index] as number;
      bits[0] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
      return (number[0] as number) * 2 ** 112;
    };
  }
  return (index) => data[index] as number;
}

/** Makes each tensor once: calls of a group share them. */
export class Tensors {
  readonly #calls: Pick<NormPool, "tensor">;
  readonly #made = new Map<string, Tensor>();

  constructor(calls: Pick<NormPool, "tensor">) {
    this.#calls = calls;
  }

  get<D extends Dtype>(role: Role, dtype: D, shape: Shape): Tensor<D> {
    return this.#keep(`${role} ${dtype} ${shape}`, role, () => this.#calls.tensor(dtype, shape));
  }

  /** The same on memory of our own, for `pool`. */
  wrapped(role: Role, shape: Shape, pool: Pick<NormPool, "wrap">): Tensor<"float32"> {
    return this.#keep(`${role} wrapped ${shape}`, role, () => {
      const cells = shape.reduce((a, b) => a * b, 1);
      return pool.wrap(new Float32Array(new SharedArrayBuffer(cells * 4)), shape);
    });
  }

  #keep<D extends Dtype>(key: string, role: Role, make: () => Tensor<D>): Tensor<D> {
    const found = this.#made.get(key);
    if (found !== undefined) return found as Tensor<D>;
    const tensor = make();
    if (role !== "y") fill(tensor, role);
    this.#made.set(key, tensor);
    return tensor;
  }

  /** Gives all memory back. */
  dispose(): void {
    for (const tensor of this.#made.values()) tensor.dispose();
    this.#made.clear();
  }
}
