// Whether a layer's weights are all 1 and its biases all 0, as new ones are: few are looked through, and many compared as bytes.
import { expect, test } from "vitest";
import { isFilledWith } from "../src/tensor/parameter.js";

test.each([1, 1000, 16_383, 16_384, 20_001])("%i values are one and the same, or one of them is another", (length) => {
  for (const make of [Float32Array, Float64Array]) {
    for (const value of [0, 1]) {
      const values = new make(new ArrayBuffer((length + 1) * make.BYTES_PER_ELEMENT), make.BYTES_PER_ELEMENT, length);
      values.fill(value);
      expect(isFilledWith(values, value)).toBe(true);
      expect(isFilledWith(values, value + 1)).toBe(false);
      for (const at of [0, Math.floor(length / 2), length - 1]) {
        values[at] = 2;
        expect(isFilledWith(values, value)).toBe(false);
        values[at] = value;
      }
      expect(isFilledWith(values, value)).toBe(true);
    }
  }
});
