// What a typed array is: its own fields may be covered by those of a subclass, or by what a program defines on it.

const prototype: object = Object.getPrototypeOf(Float32Array.prototype);

function reader<T>(field: string | symbol): (array: ArrayBufferView) => T {
  const read = Object.getOwnPropertyDescriptor(prototype, field)?.get as () => T;
  return (array) => read.call(array);
}

export const bufferOf = reader<ArrayBufferLike>("buffer");
export const byteOffsetOf = reader<number>("byteOffset");
/** Elements. 0 where the buffer is detached, or has become too short. */
export const lengthOf = reader<number>("length");
