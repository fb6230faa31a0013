// An ONNX model of one node, as protobuf: the few messages and fields of onnx.proto that this takes.

export interface OnnxNode {
  readonly operator: string;
  readonly opset: number;
  /** Of the input and the output. */
  readonly shape: readonly number[];
  /** Inputs after the first, in order. */
  readonly parameters: readonly Float32Array[];
  readonly attributes: Readonly<Record<string, number>>;
}

/** Attributes that are float; others are int. */
const FLOATS = new Set(["epsilon"]);
const FLOAT = 1;

/** From `x` to `y`. */
export function encodeModel({ operator, opset, shape, parameters, attributes }: OnnxNode): Buffer {
  const names = parameters.map((_, i) => `parameter${i}`);
  const node = [
    ...["x", ...names].map((name) => bytes(1, name)),
    bytes(2, "y"),
    bytes(4, operator),
    ...Object.entries(attributes).map(([name, value]) => bytes(5, attribute(name, value))),
  ];
  const initializers = parameters.map((values, i) =>
    bytes(5, [
      varint(1, values.length),
      varint(2, FLOAT),
      bytes(8, names[i] as string),
      bytes(9, Buffer.from(values.buffer, values.byteOffset, values.byteLength)),
    ]),
  );
  const graph = [
    bytes(1, node),
    bytes(2, "bench"),
    ...initializers,
    bytes(11, value("x", shape)),
    bytes(12, value("y", shape)),
  ];
  return Buffer.concat([varint(1, 10), bytes(7, graph), bytes(8, [varint(2, opset)])]);
}

function attribute(name: string, number: number): Buffer[] {
  if (!FLOATS.has(name)) return [bytes(1, name), varint(3, number), varint(20, 2)];
  const float = Buffer.alloc(4);
  float.writeFloatLE(number);
  return [bytes(1, name), Buffer.concat([Buffer.of((2 << 3) | 5), float]), varint(20, 1)];
}

function value(name: string, shape: readonly number[]): Buffer[] {
  const dimensions = bytes(
    2,
    shape.map((size) => bytes(1, [varint(1, size)])),
  );
  return [bytes(1, name), bytes(2, [bytes(1, [varint(1, FLOAT), dimensions])])];
}

function bytes(field: number, content: string | Buffer | readonly Buffer[]): Buffer {
  const data = Array.isArray(content) ? Buffer.concat(content) : Buffer.from(content as string | Buffer);
  return Buffer.concat([number((field << 3) | 2), number(data.length), data]);
}

/** Not negative. */
function varint(field: number, content: number): Buffer {
  return Buffer.concat([number(field << 3), number(content)]);
}

function number(content: number | bigint): Buffer {
  const digits: number[] = [];
  let rest = BigInt(content);
  do {
    digits.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(digits);
}
