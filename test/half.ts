// float16 and bfloat16 as numbers: every pattern of bits decoded by the definition of its type.

export type HalfDtype = "float16" | "bfloat16";

/** The numbers of `bits`, which are the 16 bits of each. */
export function fromHalf(dtype: HalfDtype, bits: ArrayLike<number>): Float64Array {
  return Float64Array.from(bits, dtype === "float16" ? float16 : bfloat16);
}

/** The bits of `values`. Throws RangeError at a value that the type does not have: nothing is rounded. */
export function toHalf(dtype: HalfDtype, values: ArrayLike<number>): Uint16Array {
  const encoded = ENCODED[dtype];
  return Uint16Array.from(values, (value) => {
    const bits = Object.is(value, -0) ? 0x8000 : encoded.get(value);
    if (bits === undefined) throw new RangeError(`${value} is not a ${dtype}`);
    return bits;
  });
}

function float16(bits: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const word = new DataView(new ArrayBuffer(4));

/** The upper half of a float32. */
function bfloat16(bits: number): number {
  word.setUint16(0, bits);
  return word.getFloat32(0);
}

function encodedBy(decode: (bits: number) => number, quietNaN: number): ReadonlyMap<number, number> {
  const encoded = new Map([[Number.NaN, quietNaN]]);
  // From above, so that 0 is left with the bits of the positive zero.
  for (let bits = 0xffff; bits >= 0; bits--) {
    const value = decode(bits);
    if (!Number.isNaN(value)) encoded.set(value, bits);
  }
  return encoded;
}

const ENCODED = { float16: encodedBy(float16, 0x7e00), bfloat16: encodedBy(bfloat16, 0x7fc0) };
