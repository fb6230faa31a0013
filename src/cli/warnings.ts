// What is no error, but may not be what the user expects.
import type { SetMoments, Shape } from "../index.js";

/** As many channels as images have at the end, where nothing else is as small. */
const MOST_COLORS = 4;

/** What is said of a shape that looks like [N, *, C] where nobody said where the channels are. */
export function likelyChannelsLast(shape: Shape): string | undefined {
  const last = shape.at(-1) ?? 0;
  const space = shape.slice(1, -1);
  if (shape.length < 3 || last > MOST_COLORS || !space.every((size) => size > 2 * MOST_COLORS)) return undefined;
  return `dimension 1 of [${shape.join(", ")}], ${shape[1]}, is taken for the channels; if the last one is, say --channel-axis -1 (and if not, --channel-axis 1)`;
}

/** Counts the sets whose moments are not finite. */
export class NotFinite {
  #sets = 0;
  #bad = 0;

  readonly add = ({ mean, m2 }: SetMoments): void => {
    this.#sets += mean.length;
    // NaN and infinities make one of them so.
    for (let set = 0; set < mean.length; set++)
      if (!Number.isFinite((mean[set] as number) + (m2[set] as number))) this.#bad++;
  };

  describe(): string | undefined {
    if (this.#bad === 0) return undefined;
    const has = this.#bad === 1 ? "has" : "have";
    return `${this.#bad} of its ${this.#sets} sets of cells that are normalised together ${has} NaN or infinite cells`;
  }
}
