import { FsynError } from '../../errors.js';
import type { DecoderGraph } from './graph.js';
import type { EmbedGraph } from './graphs.js';

/** How absent tokens are taken out of attention: by the mask, or by leaving them out of the sequence. */
export type Removal = 'mask' | 'leave-out';

/**
 * Finds out how a decoder can be made to overlook tokens while all others keep their positions.
 *
 * Some exports use only the mask's sum (GroupQueryAttention) or count positions from the mask inside the
 * graph; masking a token would then silently score something else. So a short sequence with a hole is run
 * twice with different tokens in the hole: the same result means that the mask works. If it does not, but
 * `position_ids` is an input that matters, the absent tokens can be left out of the sequence and the others
 * given their old positions, which is the same function.
 *
 * @throws FsynError UNSUPPORTED_MODEL saying why neither works and what to do instead
 */
export async function probeRemoval(
  decoder: DecoderGraph,
  embed: EmbedGraph,
  vocabulary: number,
  signal?: AbortSignal,
): Promise<Removal> {
  const token = (i: number): number => Math.floor((vocabulary * (2 * i + 1)) / 14);
  const run = async (
    ids: readonly number[],
    mask: readonly number[],
    positions: readonly number[],
  ): Promise<Float32Array> => {
    const { values } = await embed.run(Int32Array.from(ids, token), signal);
    const batch = {
      batch: 1,
      length: ids.length,
      embeds: values,
      mask: Int32Array.from(mask),
      positions: Int32Array.from(positions),
      rows: 1,
    };
    return (await decoder.run(batch, undefined, false, signal)).logits;
  };
  const places = [0, 1, 2, 3, 4];
  const hole = [1, 0, 1, 1, 1];
  const all = [1, 1, 1, 1];
  const one = await run([0, 1, 2, 3, 4], hole, places);
  const other = await run([0, 5, 2, 3, 4], hole, places);
  const closed = await run([0, 2, 3, 4], all, [0, 1, 2, 3]);
  const path = JSON.stringify(decoder.graph.path);
  const advice =
    'Use textMasking "attend", or an export whose attention takes the whole mask (docs/models.md).';
  if (closeTo(one, other)) {
    if (decoder.hasPositions || !closeTo(one, closed)) return 'mask';
    throw new FsynError(
      'UNSUPPORTED_MODEL',
      `${path} has no position_ids input and counts positions from attention_mask, so removing a token would move all ` +
        `later ones. ${advice}`,
    );
  }
  if (decoder.hasPositions && !closeTo(closed, await run([0, 2, 3, 4], all, [0, 2, 3, 4])))
    return 'leave-out';
  throw new FsynError(
    'UNSUPPORTED_MODEL',
    `${path} ignores holes in attention_mask and takes no positions, so absent text players cannot be removed. ${advice}`,
  );
}

/**
 * Equal but for rounding: the difference is below 1e-3 of the logits' spread (half precision rounds at 5e-4).
 */
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
