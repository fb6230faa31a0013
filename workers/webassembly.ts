// The part of WebAssembly's JavaScript API that normpool uses. TypeScript has it only among the types of browsers, and a global
// declaration of our own would clash with those in a user's project.

/** A compiled module: opaque, may be sent to a worker. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

/** A shared memory. In V8 each `grow`, of 0 pages too, makes the next `buffer` a new object over the same bytes. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  /** @returns the pages there were before. */
  grow(pages: number): number;
}

interface WasmApi {
  validate(bytes: ArrayBufferView): boolean;
  readonly Module: {
    new (bytes: ArrayBufferView): WasmModule;
    exports(module: WasmModule): { readonly name: string; readonly kind: string }[];
    imports(module: WasmModule): { readonly module: string; readonly name: string; readonly kind: string }[];
  };
  readonly Instance: {
    new (module: WasmModule, imports: { readonly env: { readonly memory: WasmMemory } }): { readonly exports: object };
  };
  readonly Memory: {
    new (descriptor: { readonly initial: number; readonly maximum: number; readonly shared: true }): WasmMemory;
  };
}

/** Undefined under --jitless: a pool tells it. */
export const wasm = Reflect.get(globalThis, "WebAssembly") as WasmApi;
