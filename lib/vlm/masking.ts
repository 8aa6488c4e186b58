import type { DecoderBatch } from './decoder/graph.js';

/**
 * The pixel input of an image state: elements of absent players from the baseline, all others from the
 * original.
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
 * The token sequence of a text state: absent players become pad tokens; with `remove` they also leave
 * attention. Positions never change.
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

/**
 * The batch of one sequence without its unattended tokens; the others keep their positions. To a decoder with
 * positions as an input this is the same as masking them.
 */
export function leaveOut(batch: DecoderBatch): DecoderBatch {
  const kept = Array.from(batch.mask.keys()).filter((i) => batch.mask[i] === 1);
  const hidden = batch.embeds.length / batch.length;
  const axes = batch.positions.length / batch.length;
  const embeds = new Float32Array(kept.length * hidden);
  const positions = new Int32Array(axes * kept.length);
  for (const [to, from] of kept.entries()) {
    embeds.set(batch.embeds.subarray(from * hidden, (from + 1) * hidden), to * hidden);
    for (let axis = 0; axis < axes; axis++) {
      positions[axis * kept.length + to] = batch.positions[axis * batch.length + from];
    }
  }
  const mask = new Int32Array(kept.length).fill(1);
  return { batch: 1, length: kept.length, embeds, mask, positions, rows: batch.rows };
}
