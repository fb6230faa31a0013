// Where a tensor's cells are, as plain data. Each kind has a driver in workers/drivers/.

/** In the memory of the pool that computes, at a byte address: kernels work on it in place. */
export interface ArenaSpec {
  readonly kind: "arena";
  readonly address: number;
}

/** On a SharedArrayBuffer of any size: the caller's, or another pool's. */
export interface SharedSpec {
  readonly kind: "shared";
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
}

/** All kinds that there are. A new one is added here and to the map of drivers. */
export interface Specs {
  readonly arena: ArenaSpec;
  readonly shared: SharedSpec;
}

export type Spec = Specs[keyof Specs];
