// What a file of another kind seems to be. Most files that are refused are no broken ones but others, opened by mistake.

export type Wanted = "npy" | "safetensors";

interface Kind {
  readonly name: string;
  /** What the user can do about it. */
  readonly remedy: Readonly<Record<Wanted, string>>;
  fits(start: Buffer, text: string): boolean;
}

const same = (remedy: string) => ({ npy: remedy, safetensors: remedy });
const inPython = (load: string) => ({
  npy: `in Python, ${load} and write one array with numpy.save`,
  safetensors: `in Python, ${load} and write its state dict with safetensors.torch.save_file`,
});
const isZip = (start: Buffer) => start.toString("latin1", 0, 4) === "PK\x03\x04";
/** The name of a zip's first entry. */
const firstEntry = (start: Buffer) =>
  start.length < 30 ? "" : start.toString("latin1", 30, 30 + start.readUInt16LE(26));

/** Whether a file that begins so is a zip of arrays. */
export function isNpz(start: Buffer): boolean {
  return isZip(start) && firstEntry(start).endsWith(".npy");
}

/** The first that fits counts. */
const KINDS: readonly Kind[] = [
  {
    name: "a Git LFS pointer",
    remedy: same("git lfs pull brings the file itself"),
    fits: (_, text) => text.startsWith("version https://git-lfs.github.com/spec/"),
  },
  {
    name: "a web page",
    remedy: same("the download got a page instead of the file: look at its address, and whether it wants a login"),
    fits: (_, text) => /^(?:\xef\xbb\xbf)?\s{0,64}<(?:!doctype|html|head|\?xml)/i.test(text),
  },
  {
    name: "a list of files in JSON, as beside a model in several files",
    remedy: same("open the files that it names"),
    fits: (_, text) => /^\s{0,8}\{\s{0,64}"/.test(text),
  },
  {
    name: "an .npz file, a zip of arrays",
    remedy: {
      npy: 'write one of its arrays with numpy.save(path, numpy.load(file)["name"])',
      safetensors: "write its arrays with safetensors.numpy.save_file(dict(numpy.load(file)), path)",
    },
    fits: isNpz,
  },
  {
    name: "a PyTorch checkpoint, a zip with a pickle",
    remedy: inPython("open it with torch.load"),
    fits: (start) => isZip(start) && /\/(?:data\.pkl|version|byteorder|\.format_version)$/.test(firstEntry(start)),
  },
  { name: "a zip archive", remedy: same("unpack it"), fits: isZip },
  {
    name: "a Python pickle, such as an old PyTorch checkpoint",
    remedy: inPython("open it with torch.load or pickle.load"),
    fits: (start) => start[0] === 0x80 && (start[1] ?? 0) >= 2 && (start[1] ?? 0) <= 5,
  },
  {
    name: "an .npy file",
    remedy: same('write it with safetensors.numpy.save_file({"name": numpy.load(file)}, path)'),
    fits: (_, text) => text.startsWith("\x93NUMPY"),
  },
  {
    name: "an HDF5 file",
    remedy: inPython("open it with h5py"),
    fits: (_, text) => text.startsWith("\x89HDF"),
  },
  {
    name: "a safetensors file",
    remedy: same('write one of its tensors with numpy.save(path, safetensors.numpy.load_file(file)["name"])'),
    fits: (start, text) => text[8] === "{" && start.readUInt32LE(4) === 0,
  },
];

/** Bytes from the start of a file that tell its kind. */
export const TELLING_BYTES = 256;

/** Such as `; it seems to be a web page: ...`, to end a message with, or "". `start` has the file's first bytes. */
export function describeLookalike(start: Buffer, wanted: Wanted): string {
  const text = start.toString("latin1");
  const kind = KINDS.find(({ fits }) => fits(start, text));
  return kind === undefined ? "" : `; it seems to be ${kind.name}: ${kind.remedy[wanted]}`;
}
