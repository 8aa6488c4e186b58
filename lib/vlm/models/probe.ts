import { FsynError } from '../../errors.js';
import type { DecoderGraph } from './decoder.js';
import type { EmbedGraph } from './graphs.js';

/**
 * Tries whether a decoder honours holes in its attention mask and keeps positions around them.
 *
 * Some exports use only the mask's sum (GroupQueryAttention) or count positions from the mask inside the graph; taking a
 * token out of attention would then silently score something else. So a short sequence with a hole is run twice with
 * different tokens in the hole - the result must not change - and, where positions are not an input, once without the
 * hole - the result must change.
 *
 * @throws FsynError UNSUPPORTED_MODEL saying which of the two it is and what to do instead
 */
export async function probeMaskHoles(
  decoder: DecoderGraph,
  embed: EmbedGraph,
  vocabulary: number,
  signal?: AbortSignal,
): Promise<void> {
  const token = (i: number): number => Math.floor((vocabulary * (2 * i + 1)) / 14);
  const run = async (ids: readonly number[], mask: readonly number[]): Promise<Float32Array> => {
    const { values } = await embed.run(Int32Array.from(ids), signal);
    const batch = {
      batch: 1,
      length: ids.length,
      embeds: values,
      mask: Int32Array.from(mask),
      positions: Int32Array.from(ids.keys()),
      rows: 1,
    };
    return (await decoder.run(batch, undefined, false, signal)).logits;
  };
  const hole = [1, 0, 1, 1, 1];
  const one = await run([0, 1, 2, 3, 4].map(token), hole);
  const other = await run([0, 5, 2, 3, 4].map(token), hole);
  const advice =
    'Use textMasking "attend", or an export whose attention takes the whole mask (docs/models.md).';
  if (!closeTo(one, other)) {
    throw new FsynError(
      'UNSUPPORTED_MODEL',
      `${JSON.stringify(decoder.graph.path)} ignores holes in attention_mask, so absent text players cannot be removed. ${advice}`,
    );
  }
  if (decoder.hasPositions) return;
  const closed = await run([0, 2, 3, 4].map(token), [1, 1, 1, 1]);
  if (closeTo(one, closed)) {
    throw new FsynError(
      'UNSUPPORTED_MODEL',
      `${JSON.stringify(decoder.graph.path)} has no position_ids input and counts positions from attention_mask, so removing ` +
        `a token would move all later ones. ${advice}`,
    );
  }
}

/** Equal but for rounding: the difference is below 1e-3 of the logits' spread (half precision rounds at 5e-4). */
function closeTo(a: Float32Array, b: Float32Array): boolean {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    low = Math.min(low, a[i]);
    high = Math.max(high, a[i]);
    worst = Math.max(worst, Math.abs(a[i] - b[i]));
  }
  return worst <= 1e-3 * Math.max(high - low, Number.MIN_VALUE);
}
