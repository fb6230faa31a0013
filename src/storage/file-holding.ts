// What holds the cells of tensors in files: those that are there, and those that are being written.
import { InvalidArgumentError, ReadFailedError, WriteFailedError } from "../errors.js";
import type { PartLog } from "../plan/parts.js";
import type { Holding } from "../tensor/tensor.js";
import { fillCells } from "./converted.js";
import { withInput } from "./input.js";
import { hashOf, isHash, Journal, type JournalHeader, readJournal } from "./journal.js";
import type { Notes } from "./notes.js";
import type { Output } from "./output.js";
import type { FileSpec } from "./spec.js";

/** Cells in a file that is there. */
export class FileHolding implements Holding {
  readonly arena = null;
  readonly data = null;
  spec: FileSpec;

  constructor(spec: FileSpec) {
    this.spec = spec;
  }

  async read(target: Uint8Array, at: number): Promise<void> {
    const { path, name, id, size, modified } = this.spec;
    await withInput(
      "tensor.read",
      path,
      async (input) => {
        const { identity } = input;
        if (identity.id !== id || identity.size < size || (modified !== null && identity.modified !== modified)) {
          throw new ReadFailedError("tensor.read", name, "it was changed since it was opened first");
        }
        await fillCells(input, this.spec, target, at);
      },
      name,
    );
  }

  release(): void {}
}

/** Cells in a file that has no name yet. */
export class OutputHolding extends FileHolding {
  readonly gone: Promise<void>;
  readonly #output: Output;
  /** What comes before the cells. */
  readonly #header: Buffer;
  #isBegun = false;
  #journal: Journal | undefined;
  /** Whether what an interrupted process did is kept: until the same work goes on with it. */
  #isLeft: boolean;
  #committed: Promise<void> | undefined;
  #tellGone = (): void => {};

  constructor(spec: FileSpec, output: Output, header: Buffer) {
    super(spec);
    this.#output = output;
    this.#header = header;
    this.#isLeft = output.resumed;
    this.gone = new Promise((resolve) => {
      this.#tellGone = resolve;
    });
  }

  /** Of an output with a journal. */
  get beginParts(): ((operation: string, work: JournalHeader) => Promise<PartLog>) | undefined {
    const { notes } = this.#output;
    return notes === undefined ? undefined : (operation, work) => this.#begin(operation, work, notes);
  }

  async #begin(operation: string, work: JournalHeader, notes: Notes): Promise<PartLog> {
    if (this.#isBegun) {
      const expected = "a file that no call has written to (its journal is of one)";
      throw new InvalidArgumentError(operation, "out", expected, "another");
    }
    this.#isBegun = true;
    const output = this.#output;
    // Parts that are done lie behind it.
    const header = { ...work, "header of the output": hashOf([this.#header]) };
    const found = output.resumed ? await output.orFail(() => readJournal(notes.journal)) : undefined;
    if (found !== undefined) checkSame(operation, output.path, found.header, header);
    const parts = found?.parts ?? new Set<number>();
    if (output.resumed) {
      await output.writeFirst(this.#header);
      await output.extend(this.spec.size);
    }
    const journal = await Journal.begin(notes, { header, parts }, (step) => output.orFail(step));
    this.#journal = journal;
    this.#isLeft = false;
    return {
      has: (part) => parts.has(part),
      finish: (part) => journal.note(part, () => output.sync()),
      settled: () => journal.settled(),
    };
  }

  async commit(): Promise<void> {
    if (this.#isLeft) {
      const expected = "one that the call that was interrupted has gone on with";
      throw new InvalidArgumentError("tensor.commit", "tensor", expected, "what that call had done");
    }
    this.#committed ??= this.#finish();
    await this.#committed;
  }

  override release(): void {
    (this.#committed ?? this.#end()).then(this.#tellGone, this.#tellGone);
  }

  async #end(): Promise<void> {
    await this.#journal?.close();
    await (this.#isLeft ? this.#output.leave() : this.#output.abandon());
  }

  async #finish(): Promise<void> {
    const output = this.#output;
    try {
      await this.#journal?.close();
      const { modified } = await output.finish();
      const { descriptor: _, ...place } = this.spec;
      this.spec = { ...place, path: output.target, modified };
    } catch (error) {
      await output.abandon();
      throw error;
    }
  }
}

/** Throws WriteFailedError where the journal is of other work, and says what differs. */
function checkSame(operation: string, path: string, found: JournalHeader, header: JournalHeader): void {
  for (const [what, value] of Object.entries(header)) {
    if (found[what] === value) continue;
    const values = isHash(value) ? "" : ` (${found[what]}) than this one (${value})`;
    const why = `the work that was interrupted had another ${what}${values}; without resume it begins again`;
    throw new WriteFailedError(operation, path, why);
  }
}
