import { describe } from "../../describe.js";
import { InvalidArgumentError } from "../../errors.js";

export const QUEUE_NAME = "normpool";

/** What is a name of keys to Redis, and of a client to both. Throws InvalidArgumentError. */
export function checkQueueName(operation: string, name: unknown): string {
  if (typeof name === "string" && /^[\w.-]{1,40}$/.test(name)) return name;
  const expected = "a name of at most 40 letters, digits, dots, dashes and underscores";
  throw new InvalidArgumentError(operation, "queueName", expected, describe(name));
}
