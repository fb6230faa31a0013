/** `no space left on device (ENOSPC)`: without the call and the path of it, which name what is none of the user's. */
export function describeSystemError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error.message;
  return `${error.message.replace(`${code}: `, "").split(`, ${syscall}`)[0]} (${code})`;
}
