import type { Command } from "commander";

/** Makes a sub-command whose help ends with these lines. */
export type AddCommand = (name: string, examples: readonly string[]) => Command;
