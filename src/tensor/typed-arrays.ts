// What a typed array is: its own fields may be covered by those of a subclass, or by what a program defines on it.

const prototype: object = Object.getPrototypeOf(Float32Array.prototype);

function reader<T>(field: string | symbol): (array: ArrayBufferView) => T {
  const read = Object.getOwnPropertyDescriptor(prototype, field)?.get as () => T;
  return (array) => read.call(array);
}

export const bufferOf = reader<ArrayBufferLike>("buffer");
export const byteOffsetOf = reader<number>("byteOffset");
const keysOf = Reflect.get(prototype, "keys") as () => unknown;
const tagOf = reader<string | undefined>(Symbol.toStringTag);

/** The kind of a typed array, whatever it or its class says: "Float32Array". Undefined of what is none. */
export function kindOf(value: unknown): string | undefined {
  return ArrayBuffer.isView(value) ? tagOf(value) : undefined;
}

/** Whether a typed array's buffer is detached, or has become too short for it. */
export function isGone(array: ArrayBufferView): boolean {
  try {
    keysOf.call(array);
    return false;
  } catch {
    return true;
  }
}

/** Elements. 0 where the buffer is detached, or has become too short. */
export const lengthOf = reader<number>("length");
