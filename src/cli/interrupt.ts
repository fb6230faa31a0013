// Signals: the first stops the work, which clears up after itself; a second one does not wait for that.

/** 128 + the signal's number, as shells have it. */
const EXIT_BY_SIGNAL = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** What there is to say of an interruption, beyond that it was one. */
export class Interruption extends Error {}

export interface Interrupt {
  readonly signal: AbortSignal;
  /** That of the signal which came; undefined if none did. */
  exitCode(): number | undefined;
}

export function watchSignals(): Interrupt {
  const controller = new AbortController();
  let exitCode: number | undefined;
  for (const [signal, code] of Object.entries(EXIT_BY_SIGNAL)) {
    process.on(signal, () => {
      // Partial files are removed as the process exits.
      if (exitCode !== undefined) process.exit(code);
      exitCode = code;
      controller.abort();
    });
  }
  return { signal: controller.signal, exitCode: () => exitCode };
}
