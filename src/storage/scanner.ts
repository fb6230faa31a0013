// A cursor over the text of a header. No step looks back or tries twice, so a header of any text takes time in proportion to its
// length.

const BACKSLASH = 92;
const CLOSING: Readonly<Record<string, string>> = { "[": "]", "(": ")", "{": "}" };
/** Python's reader of safetensors ends at 127, Python's own parser at 200. */
const MAX_DEPTH = 100;

export class Scanner {
  readonly text: string;
  position = 0;
  readonly #error: (message: string) => Error;

  /** @param error makes what is thrown of a message. */
  constructor(text: string, error: (message: string) => Error) {
    this.text = text;
    this.#error = error;
  }

  /** Passes white space, then `token` if it is what comes next: whether it was. */
  take(token: string): boolean {
    this.#passWhite();
    if (!this.text.startsWith(token, this.position)) return false;
    this.position += token.length;
    return true;
  }

  expect(token: string): void {
    if (!this.take(token)) throw this.unexpected(JSON.stringify(token));
  }

  expectEnd(): void {
    this.#passWhite();
    if (this.position < this.text.length) throw this.unexpected("the end");
  }

  /** The first of `characters` that comes next, without passing it; "" if it is none of them. */
  peek(characters: string): string {
    this.#passWhite();
    const next = this.text.charAt(this.position);
    return characters.includes(next) ? next : "";
  }

  /** A whole number, 0 or more, without sign, fraction and leading zeros. */
  size(): number {
    this.#passWhite();
    const start = this.position;
    while (isDigit(this.text.charCodeAt(this.position))) this.position++;
    const digits = this.position - start;
    const value = digits <= 16 ? Number(this.text.slice(start, this.position)) : Number.POSITIVE_INFINITY;
    const leading = digits > 1 && this.text[start] === "0";
    if (digits > 0 && !leading && Number.isSafeInteger(value)) return value;
    this.position = start;
    throw this.unexpected("a whole number below 2^53");
  }

  /** Passes a string in quotes, whose escapes start with `\`, and returns it as it is written, quotes and escapes included. */
  quoted(): string {
    const start = this.position;
    const quote = this.text.charCodeAt(start);
    for (let i = start + 1; i < this.text.length; i++) {
      const code = this.text.charCodeAt(i);
      if (code === quote) {
        this.position = i + 1;
        return this.text.slice(start, i + 1);
      }
      if (code === BACKSLASH) i++;
    }
    throw this.unexpected("a string that ends");
  }

  /** A number or a name, as it is written; "" where there is none. */
  word(): string {
    this.#passWhite();
    const start = this.position;
    while (isWord(this.text.charCodeAt(this.position))) this.position++;
    return this.text.slice(start, this.position);
  }

  /** Passes the bracket at this position and all that is inside it, strings too, and returns it as it is written. */
  nested(): string {
    const start = this.position;
    const closing: string[] = [];
    do {
      const next = this.peek("[({])}'\"");
      const close = CLOSING[next];
      if (next === "'" || next === '"') this.quoted();
      else {
        if (close !== undefined) closing.push(close);
        else if (next !== "" && closing.pop() !== next) throw this.unexpected("brackets that match");
        if (closing.length > MAX_DEPTH) throw this.unexpected(`at most ${MAX_DEPTH} brackets in each other`);
        if (this.position === this.text.length) throw this.unexpected("a closing bracket");
        this.position++;
      }
    } while (closing.length > 0);
    return this.text.slice(start, this.position);
  }

  /** The error for something else than `expected` at this position. */
  unexpected(expected: string): Error {
    const found = this.text.slice(this.position, this.position + 20);
    const got = found === "" ? "its end" : JSON.stringify(found);
    return this.#error(`expected ${expected} at character ${this.position} of the header but got ${got}`);
  }

  #passWhite(): void {
    while (isWhite(this.text.charCodeAt(this.position))) this.position++;
  }
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** Letters, digits, and a number's `+`, `-` and `.`. */
function isWord(code: number): boolean {
  return (code >= 43 && code <= 57 && code !== 44) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}

function isWhite(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9;
}
