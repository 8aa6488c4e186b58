import { describe, FsynError } from '../errors.js';
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
 * @throws FsynError ATTRIBUTION when the number of scores is not the number of players or a score is not
 *   finite
 */
export function rankPlayers(name: string, scores: ArrayLike<number>, players: number): Int32Array {
  checkScores(name, scores, players);
  return Int32Array.from(
    Array.from({ length: players }, (_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b),
  );
}

/**
 * Makes sure that an attribution has one finite score per player before it is handed on.
 *
 * @param who names the explainer in the message
 * @throws FsynError ATTRIBUTION
 */
export function checkAttribution(
  attribution: Attribution,
  players: { readonly image: number; readonly text: number },
  who: string,
): void {
  if (typeof attribution !== 'object' || attribution === null)
    throw new FsynError(
      'ATTRIBUTION',
      `${who} is to give { image, text } but gave ${describe(attribution)}.`,
    );
  for (const name of ['image', 'text'] as const) checkScores(name, attribution[name], players[name], who);
}

function checkScores(name: string, scores: unknown, players: number, who?: string): void {
  const from = who === undefined ? '' : ` from ${who}`;
  const given = scores as ArrayLike<number> | undefined;
  if (given === null || typeof given !== 'object' || given.length !== players) {
    const received = typeof given === 'object' && given !== null ? given.length : describe(given);
    throw new FsynError(
      'ATTRIBUTION',
      `Expected ${players} ${name} scores, one per ${name} player,${from} but received ${received}.`,
    );
  }
  for (let i = 0; i < players; i++) {
    if (!Number.isFinite(given[i])) {
      throw new FsynError(
        'ATTRIBUTION',
        `Expected finite ${name} scores${from} but received ${given[i]} for player ${i}.`,
      );
    }
  }
}

/**
 * Share of all pairs of players whose scores are equal, so that their place decides between them: 0 where
 * every score is another one, 1 for a constant map, 0 for fewer than two players, which leave nothing to
 * order.
 */
export function tiedPairs(scores: ArrayLike<number>): number {
  if (scores.length < 2) return 0;
  const counts = new Map<number, number>();
  for (let i = 0; i < scores.length; i++) {
    counts.set(scores[i], (counts.get(scores[i]) ?? 0) + 1);
  }
  let tied = 0;
  for (const count of counts.values()) tied += count * (count - 1);
  return tied / (scores.length * (scores.length - 1));
}
