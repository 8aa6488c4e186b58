import type { Attribution } from '../../cells/attribution.js';
import type { PreparedSample, WhiteBox } from '../../vlm/types.js';

/** Sums values by player; entries of player -1 are left out. */
export function sumByPlayer(values: ArrayLike<number>, players: Int32Array, count: number): Float64Array {
  const sums = new Float64Array(count);
  for (let i = 0; i < players.length; i++) {
    const player = players[i];
    if (player >= 0) sums[player] = sums[player] + values[i];
  }
  return sums;
}

/** Averages values by player; a player without entries gets 0. */
export function meanByPlayer(values: ArrayLike<number>, players: Int32Array, count: number): Float64Array {
  const sums = sumByPlayer(values, players, count);
  const sizes = sumByPlayer(new Uint8Array(players.length).fill(1), players, count);
  return sums.map((sum, player) => (sizes[player] ? sum / sizes[player] : 0));
}

/** The entries of per-position scores at the text players' positions. */
export function textScores(scores: ArrayLike<number>, whiteBox: WhiteBox): Float64Array {
  return Float64Array.from(whiteBox.textPositions, (position) => scores[position]);
}

/** Row sums of the element-wise product of two [rows, columns] matrices: float64 sums in index order. */
export function rowDots(a: ArrayLike<number>, b: ArrayLike<number>, columns: number): Float64Array {
  const sums = new Float64Array(a.length / columns);
  for (let row = 0; row < sums.length; row++) {
    let sum = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) sum += a[i] * b[i];
    sums[row] = sum;
  }
  return sums;
}

/**
 * Attribution from the products of inputs and (modified) gradients: pixels by image player, embeddings by
 * text player.
 */
export function productAttribution(
  sample: PreparedSample,
  whiteBox: WhiteBox,
  products: { pixels: Float64Array; positions: Float64Array },
): Attribution {
  return {
    image: sumByPlayer(products.pixels, whiteBox.pixelPlayers, sample.imagePlayers.count),
    text: textScores(products.positions, whiteBox),
  };
}
