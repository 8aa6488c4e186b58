import type { Attribution } from '../../cells/attribution.js';
import { checkOneOf } from '../../checks.js';
import { resolveOptions } from '../../options.js';
import type { PreparedSample } from '../../vlm/types.js';
import type { Target, WhiteBoxChain } from './model.js';
import { productAttribution, rowDots } from './players.js';
import type { ChainResult } from './results.js';
import { checkTarget, DEFAULT_TARGET } from './target.js';

/**
 * What the gradient is multiplied with. `absent`: the input less its value when the player is absent, which
 * makes a score the first-order change of what is explained when the metric takes the player away. `zero`:
 * the input itself, which measures from the mean colour and from an embedding of zeros.
 */
export type Reference = 'zero' | 'absent';

export interface ProductOptions {
  /**
   * `contrast` (default): the decision token's logit less that of the token the model would have said
   * instead; or `logit`.
   */
  readonly target?: Target;
  /** What an input is measured from. Default: `absent`. */
  readonly reference?: Reference;
}

/** @throws FsynError `INVALID_ARGUMENT` */
export function resolveProduct(
  owner: string,
  given: ProductOptions | undefined,
): { target: Target; reference: Reference } {
  const defaults = { target: DEFAULT_TARGET, reference: 'absent' as Reference };
  const { target, reference } = resolveOptions(owner, defaults, given);
  checkOneOf('reference', reference, ['zero', 'absent']);
  return { target: checkTarget(target), reference };
}

/** Scores from the products of (modified) gradients and inputs, these measured from the reference. */
export async function measuredProducts(
  sample: PreparedSample,
  chain: WhiteBoxChain,
  run: ChainResult,
  reference: Reference,
): Promise<Attribution> {
  const { whiteBox } = chain;
  let [pixels, embeddings] = [run.pixels, run.embeddings];
  if (reference === 'absent') {
    const absent = whiteBox.baselinePixels.data as Float32Array;
    const pad = await chain.padEmbedding();
    // Only rows of text players are read, and those are what the pad token replaces.
    embeddings = less(embeddings, pad);
    pixels = less(pixels, absent);
  }
  return productAttribution(sample, whiteBox, {
    pixels: rowDots(pixels, run.pixelGradient, 1),
    positions: rowDots(embeddings, run.embeddingGradient, run.hidden),
  });
}

/** Values less a reference that is repeated along them; a plain loop, because there are as many as pixels. */
function less(values: Float32Array, reference: Float32Array): Float32Array {
  const differences = new Float32Array(values.length);
  for (let i = 0, at = 0; i < values.length; i++) {
    differences[i] = values[i] - reference[at];
    if (++at === reference.length) at = 0;
  }
  return differences;
}
