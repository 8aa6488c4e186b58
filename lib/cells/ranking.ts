import { FsynError } from '../errors.js';
import type { Attribution } from './attribution.js';
import type { CellTable } from './table.js';

/** An attribution's order of players, most important first: what every metric of it starts from. */
export interface Ranking {
  /** Shape [image players], [text players]. */
  readonly image: Int32Array;
  readonly text: Int32Array;
}

/**
 * Ranks an attribution over the players of a table, once for all of its metrics.
 *
 * @throws FsynError ATTRIBUTION when there is not one finite score per player
 */
export function rankAttribution(table: CellTable, attribution: Attribution): Ranking {
  return {
    image: rankPlayers('image', attribution.image, table.imagePlayers),
    text: rankPlayers('text', attribution.text, table.textPlayers),
  };
}

/**
 * Players from most to least important; equal scores keep the lower index first.
 *
 * @throws FsynError ATTRIBUTION when the number of scores is not the number of players or a score is not finite
 */
export function rankPlayers(name: string, scores: ArrayLike<number>, players: number): Int32Array {
  if (scores.length !== players) {
    throw new FsynError(
      'ATTRIBUTION',
      `Expected ${players} ${name} scores, one per ${name} player, but received ${scores.length}.`,
    );
  }
  for (let i = 0; i < players; i++) {
    if (!Number.isFinite(scores[i])) {
      throw new FsynError(
        'ATTRIBUTION',
        `Expected finite ${name} scores but received ${scores[i]} for player ${i}.`,
      );
    }
  }
  return Int32Array.from(
    Array.from({ length: players }, (_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b),
  );
}
