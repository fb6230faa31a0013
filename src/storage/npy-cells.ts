// Which cells an .npy file has, and where.
import { describe } from "../describe.js";
import { FileFormatError } from "../errors.js";
import { CELL_BYTES, type Dtype } from "../tensor/dtype.js";
import { cellsOf, checkShape } from "../tensor/shape.js";
import type { Input } from "./input.js";
import type { Located } from "./located.js";
import { readNpyHeader } from "./npy.js";

/** NumPy's type strings without their order of bytes. */
const DTYPES: Readonly<Record<string, Dtype>> = { f4: "float32", f8: "float64", f2: "float16", u1: "uint8" };
const DESCRS: Readonly<Record<Dtype, string>> = {
  float32: "<f4",
  float64: "<f8",
  float16: "<f2",
  // NumPy has no bfloat16: the package ml_dtypes writes its own as opaque values of two bytes, and so reads them with .view().
  bfloat16: "<V2",
  uint8: "|u1",
};
/** Types whose bits are what the caller says: bfloat16 as ml_dtypes writes it, and bits in integers. */
const BITS: Readonly<Record<string, readonly Dtype[]>> = {
  V2: ["bfloat16"],
  u2: ["bfloat16", "float16"],
  b1: ["uint8"],
};

/** NumPy's type string of a dtype. */
export function descrOf(dtype: Dtype): string {
  return DESCRS[dtype];
}

/** @param wanted the dtype that bits are to be taken for. Throws FileFormatError. */
export async function locateNpy(
  operation: string,
  input: Pick<Input, "path" | "size" | "readAt">,
  wanted: Dtype | undefined,
): Promise<Located> {
  const { path, size } = input;
  const { descr, structured, fortranOrder, shape, dataOffset } = await readNpyHeader(path, (at, length) =>
    input.readAt(at, length),
  );
  const error = (message: string) => new FileFormatError(operation, path, message);
  if (structured) {
    throw error(
      `expected a plain dtype but got the structured type ${shorten(descr)} (write one field with numpy.save(path, array["name"]))`,
    );
  }
  const dtype = dtypeOf(descr, wanted);
  if (dtype === undefined) {
    const name = descr.slice(1);
    const bits = Object.hasOwn(BITS, name) ? BITS[name] : undefined;
    const remedy =
      bits === undefined ? 'use .astype("float32")' : `say dtype ${bits.join(" or ")} if these are its bits`;
    throw error(`expected dtype float32, float64, float16 or uint8 but got ${shorten(descr)} (${remedy})`);
  }
  if (fortranOrder && shape.filter((length) => length > 1).length > 1) {
    throw error(
      "expected C order but got Fortran order (write it with numpy.save(path, numpy.ascontiguousarray(array)))",
    );
  }
  const bytes = CELL_BYTES[dtype];
  // Sizes whose product is no number are beyond the file too.
  const needed = shape.includes(0) ? 0 : cellsOf(shape) * bytes;
  if (!(needed <= size - dataOffset)) {
    throw error(`expected ${needed} bytes of cells for shape ${describe(shape)} but the file has ${size - dataOffset}`);
  }
  const checked = checkShape(operation, shape);
  return { dtype, shape: checked, offset: dataOffset, swapped: descr.startsWith(">") ? bytes : 1 };
}

function dtypeOf(descr: string, wanted: Dtype | undefined): Dtype | undefined {
  const name = descr.slice(1);
  if (!/^[<>|=]/.test(descr)) return undefined;
  if (Object.hasOwn(DTYPES, name)) return DTYPES[name];
  return Object.hasOwn(BITS, name) && wanted !== undefined && BITS[name]?.includes(wanted) ? wanted : undefined;
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
