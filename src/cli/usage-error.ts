/** Arguments that do not fit each other, or what they name. Ends the command as commander's own errors do. */
export class UsageError extends Error {}
