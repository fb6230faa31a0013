/** What each section is told. */
export interface SectionOptions {
  /** Threads at most. */
  readonly threads: number;
  /** Small tensors and short times: to see that it works, not how fast. */
  readonly quick: boolean;
  /** The memory that may be used, in bytes. */
  readonly memory: number;
  /** Told the share of the section that is done, 0 to 1. */
  readonly onShare: (share: number) => void;
  readonly signal?: AbortSignal;
}
