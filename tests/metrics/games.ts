import type { CellScores } from '../../lib/cells/scores.js';
import type { CellTable } from '../../lib/cells/table.js';

/** Values of a game on every cell, in the shape that a model would return them (one answer token). */
export function playGame(
  table: CellTable,
  game: (image: Uint8Array, text: Uint8Array) => number,
): CellScores {
  const imageMasks = table.imageMasks();
  const textMasks = table.textMasks();
  const pairs = table.pairs();
  const logProbabilities = Float64Array.from({ length: table.cellCount }, (_, cell) => {
    const image = pairs[2 * cell] * table.imagePlayers;
    const text = pairs[2 * cell + 1] * table.textPlayers;
    return game(
      imageMasks.subarray(image, image + table.imagePlayers),
      textMasks.subarray(text, text + table.textPlayers),
    );
  });
  return { logProbabilities, tokens: 1, decision: 0 };
}

/** An attribution that scores the listed players 1 and all others 0. */
export function indicator(players: number, ones: readonly number[]): Float64Array {
  const scores = new Float64Array(players);
  for (const player of ones) scores[player] = 1;
  return scores;
}
