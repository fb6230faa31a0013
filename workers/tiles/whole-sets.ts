// Tiles of phases that do all that there is to do with a set at once: whole sets.
import type { DifferentiatePhase, NormalizePhase } from "../../src/plan/phase.js";
import { consecutive, PAIR_BYTES, type Tile } from "./tile.js";

export function* normalizeTiles(phase: NormalizePhase, unit: number, end: number, room: number): Generator<Tile> {
  const { length, groups } = phase;
  const step = Math.max(1, Math.floor(room / length));
  for (let set = unit; set < end; set += step) {
    const count = Math.min(step, end - set);
    const first = set % groups;
    const cells = consecutive(set * length, count * length);
    yield { ...cells, phase, first, count, before: first * length, ahead: { moments: (set - first) * PAIR_BYTES } };
  }
}

/** Units that are a set each. */
export function* differentiateTiles(
  phase: DifferentiatePhase,
  unit: number,
  end: number,
  room: number,
): Generator<Tile> {
  const { length, groups, run } = phase;
  const step = Math.floor(room / length);
  for (let set = unit; set < end; set += step) {
    const count = Math.min(step, end - set);
    const first = set % groups;
    const statistics = (set - first) * PAIR_BYTES;
    const ahead = { statistics, partials: statistics * (length / run) };
    const alone = { ...phase, sets: first + count };
    yield { ...consecutive(set * length, count * length), phase: alone, first, count, before: first * length, ahead };
  }
}

/** Units that are many samples, whose gradients by cell are summed: a tile is some of a unit's, in whole groups of those that are added together. */
export function* sinkTiles(phase: DifferentiatePhase, from: number, end: number, room: number): Generator<Tile> {
  const { setsPerUnit, sets, length, groups, together } = phase;
  const high = Math.floor(room / (length * groups));
  const step = (high - (high % together)) * groups;
  for (let unit = from; unit < end; unit++) {
    const first = unit * setsPerUnit;
    const last = Math.min(sets, first + setsPerUnit);
    for (let set = first; set < last; set += step) {
      const count = Math.min(step, last - set);
      yield {
        ...consecutive(set * length, count * length),
        phase: { ...phase, setsPerUnit: count, sets: count },
        first: 0,
        count: 1,
        before: 0,
        continues: set > first,
        ahead: { statistics: set * PAIR_BYTES, partials: unit * groups * length * PAIR_BYTES },
      };
    }
  }
}
