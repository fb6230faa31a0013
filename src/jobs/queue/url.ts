// The URL of a queue's server. It may have a password, which is told to the server and to nobody else.
import { describe } from "../../describe.js";
import { InvalidArgumentError } from "../../errors.js";

const KINDS = {
  "redis:": "Redis",
  "rediss:": "Redis",
  "postgres:": "PostgreSQL",
  "postgresql:": "PostgreSQL",
} as const;

export interface QueueUrl {
  readonly kind: (typeof KINDS)[keyof typeof KINDS];
  /** With the password. */
  readonly href: string;
  /** For messages. */
  readonly shown: string;
  /** A server's or a driver's words, without a password. */
  hide(text: string): string;
}

const EXPECTED = "a URL such as redis://host:6379 or postgres://user@host/database";

/** Throws InvalidArgumentError, which does not say what came: it may have a password. */
export function parseQueueUrl(operation: string, given: unknown): QueueUrl {
  if (typeof given !== "string") throw new InvalidArgumentError(operation, "queue", EXPECTED, describe(given));
  if (!URL.canParse(given)) throw new InvalidArgumentError(operation, "queue", EXPECTED, "what is no URL");
  const url = new URL(given);
  if (!Object.hasOwn(KINDS, url.protocol)) {
    throw new InvalidArgumentError(operation, "queue", EXPECTED, "a URL of another kind");
  }
  const kind = KINDS[url.protocol as keyof typeof KINDS];
  const secrets = secretsOf(url);
  const user = url.username === "" ? "" : `${url.username}@`;
  return {
    kind,
    href: given,
    shown: `${url.protocol}//${user}${url.host}${url.pathname}`,
    hide: (text) => secrets.reduce((shown, secret) => shown.replaceAll(secret, "***"), text),
  };
}

/** The longest first: one may be part of another. */
function secretsOf({ password, searchParams }: URL): string[] {
  const inQuery = [...searchParams].filter(([name]) => /pass/i.test(name)).map(([, value]) => value);
  const all = [password, ...inQuery].flatMap((secret) => [secret, decoded(secret), encodeURIComponent(secret)]);
  return [...new Set(all)].filter((secret) => secret !== "").sort((a, b) => b.length - a.length);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
