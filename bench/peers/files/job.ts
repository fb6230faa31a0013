// What a peer's process is asked, and what each of Node's peers has for it.

export interface Job {
  readonly input: string;
  readonly output: string;
  readonly rows: number;
  readonly columns: number;
  readonly threads: number;
}

export interface FileProgram {
  readonly version: string;
  /** Standardises the columns of the file `input` into the new file `output`. Returns the milliseconds that this took. */
  run(job: Job): Promise<number>;
  /** Of a peer that has a format of its own: makes its `input` of an .npy file. */
  convert?(job: Job): Promise<void>;
  /** And the bare cells of its `output`, to compare. */
  cells?(job: Job): Promise<void>;
}

export function columnNames({ columns }: Job): string[] {
  return Array.from({ length: columns }, (_, c) => `c${c}`);
}
