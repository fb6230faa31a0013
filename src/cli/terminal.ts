// Lines to stdout and stderr. Names and types come from files, whoever made them: no control character of theirs reaches a terminal.
import pc from "picocolors";
import { describeSystemError } from "../storage/system-error.js";

/** Colours where a person reads: not in a file or pipe, whatever environment variables say, and not against NO_COLOR. */
export function colorsFor(stream: NodeJS.WriteStream) {
  return pc.createColors(stream.isTTY === true && pc.isColorSupported);
}

// C0, DEL, C1, and what turns the direction of a line or ends it.
const CONTROL = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** `text` with its control characters as JSON escapes them: `\u001b`. In a JSON text, such as it may be itself, that says the same. */
export function printable(text: string): string {
  return text.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A text that may quote a URL of the user's: `redis://user:***@host`. */
export function withoutPasswords(text: string): string {
  return text.replace(/(:\/\/[^\s/:@]*):\S*@/g, "$1:***@");
}

/** Writes to a stream and waits until the system has it: a full disk is an error, a reader that went away, as `head` does, is none. */
export async function print(text: string, to: NodeJS.WriteStream = process.stdout): Promise<void> {
  const error = await new Promise<Error | null | undefined>((resolve) => to.write(`${text}\n`, resolve));
  if (!error || ("code" in error && error.code === "EPIPE")) return;
  throw new Error(`${to === process.stdout ? "stdout" : "stderr"}: cannot write there: ${describeSystemError(error)}`);
}

/** A line on stderr. */
export function complain(kind: "" | "warning: ", message: string): void {
  const { red, yellow } = colorsFor(process.stderr);
  const color = kind === "" ? red : yellow;
  process.stderr.write(`${color(`normpool: ${kind}`.trimEnd())} ${printable(message)}\n`);
}

/** Each failed write says so by itself; as events these errors would end the process with a stack trace. */
export function ignoreStreamErrors(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}
