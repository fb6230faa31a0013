// The part of WebAssembly's JavaScript API that normpool uses: TypeScript has it only among the types of browsers.
// Every memory here is a shared one.
declare namespace WebAssembly {
  class Module {
    constructor(bytes: ArrayBufferView);
    static exports(module: Module): { readonly name: string; readonly kind: string }[];
    static imports(module: Module): { readonly module: string; readonly name: string; readonly kind: string }[];
  }
  class Instance {
    constructor(module: Module, imports: { readonly env: { readonly memory: Memory } });
    readonly exports: object;
  }
  class Memory {
    constructor(descriptor: { readonly initial: number; readonly maximum: number; readonly shared: true });
    readonly buffer: SharedArrayBuffer;
    /** @returns the pages there were before. */
    grow(pages: number): number;
  }
}
