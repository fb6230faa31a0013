// `normpool info`: what files of every format hold.
import { formatOf } from "../storage/format.js";
import { type Input, withInput } from "../storage/input.js";
import { readNpyHeader } from "../storage/npy.js";
import { npyIn, readMembers } from "../storage/npz.js";
import { readHeader } from "../storage/safetensors.js";
import { formatRows } from "./report.js";
import type { AddCommand } from "./sub-command.js";
import { print, printable } from "./terminal.js";

type Fields = Readonly<Record<string, unknown>>;

export function addInfoCommand(addCommand: AddCommand): void {
  addCommand("info", ["normpool info images.npy", "normpool info model.safetensors --json"])
    .summary("what a file holds")
    .description(
      "Print what the header of an .npy, .npz or safetensors file says: dtypes, shapes, names. Cells are not read.",
    )
    .argument("<file>", "an .npy, .npz or safetensors file")
    .option("--json", "print it as JSON", false)
    .action(showInfo);
}

async function showInfo(path: string, { json }: { readonly json: boolean }): Promise<void> {
  const info = await withInput("info", path, async (input) => {
    const format = await formatOf("info", input, false);
    return { path, format, ...(await READERS[format as keyof typeof READERS](input)), bytes: input.size };
  });
  if (json) return print(printable(JSON.stringify(info)));
  return print(formatRows(Object.entries(info).flatMap(([name, value]) => rowsOf(name, value))));
}

const READERS = {
  npy: npyFields,

  async npz(input: Input): Promise<Fields> {
    const arrays: Record<string, Fields> = {};
    for (const [name, member] of await readMembers("info", input)) {
      const { packing, bytes, packedBytes } = member;
      // What is packed says nothing before it is not.
      arrays[name] =
        packing === null
          ? { ...(await npyFields(await npyIn(input, member))), bytes }
          : { [packing]: true, bytes, packedBytes };
    }
    return { arrays };
  },

  async safetensors(input: Input): Promise<Fields> {
    const { tensors, metadata } = await readHeader("info", input);
    const entries = [...tensors].map(([name, { dtype, shape }]) => [name, { dtype, shape }]);
    return { metadata: Object.fromEntries(metadata), tensors: Object.fromEntries(entries) };
  },
};

async function npyFields(input: Pick<Input, "path" | "readAt">): Promise<Fields> {
  const { version, descr, fortranOrder, shape } = await readNpyHeader(input.path, (at, length) =>
    input.readAt(at, length),
  );
  return { version, dtype: descr, order: fortranOrder ? "Fortran" : "C", shape };
}

/** A line a field; of tensors, a line each: their own fields, named. */
function rowsOf(name: string, value: unknown): [string, string][] {
  if (!isFields(value)) return [[name, inWords(value)]];
  // Of metadata a key may be "format" or "bytes" too.
  const prefix = name === "metadata" ? "metadata " : "";
  return Object.entries(value).map(([key, fields]) => [
    prefix + key,
    isFields(fields) ? named(fields) : inWords(fields),
  ]);
}

function named(fields: Fields): string {
  return Object.entries(fields)
    .map(([key, value]) => `${key} ${inWords(value)}`)
    .join(", ");
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const inWords = (value: unknown) => (Array.isArray(value) ? `[${value.join(", ")}]` : String(value));
