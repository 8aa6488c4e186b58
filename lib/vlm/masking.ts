/**
 * The pixel input of an image state: elements of absent players from the baseline, all others from the original.
 *
 * @param players image player of every element, -1 for elements that no player owns
 * @param present one byte per image player
 */
export function maskPixels(
  original: Float32Array,
  baseline: Float32Array,
  players: Int32Array,
  present: Uint8Array,
): Float32Array {
  const masked = original.slice();
  for (let i = 0; i < players.length; i++) {
    const player = players[i];
    if (player >= 0 && present[player] === 0) masked[i] = baseline[i];
  }
  return masked;
}

export interface MaskedTokens {
  readonly ids: Int32Array;
  /** 1 where attended. */
  readonly attention: Int32Array;
}

/**
 * The token sequence of a text state: absent players become pad tokens; with `remove` they also leave attention.
 * Positions never change.
 *
 * @param ids prompt and, where wanted, answer
 * @param positions position of every text player in `ids`
 * @param present one byte per text player
 */
export function maskTokens(
  ids: Int32Array,
  positions: Int32Array,
  present: Uint8Array,
  padTokenId: number,
  masking: 'remove' | 'attend',
): MaskedTokens {
  const masked = ids.slice();
  const attention = new Int32Array(ids.length).fill(1);
  for (let player = 0; player < positions.length; player++) {
    if (present[player] !== 0) continue;
    masked[positions[player]] = padTokenId;
    if (masking === 'remove') attention[positions[player]] = 0;
  }
  return { ids: masked, attention };
}
