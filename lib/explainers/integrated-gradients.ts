import { invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import type { Explainer } from './types.js';
import { type ChainResult, type Target, WhiteBoxChain } from './white-box/model.js';
import { productAttribution, rowDots } from './white-box/players.js';
import { checkTarget, DEFAULT_TARGET } from './white-box/target.js';

export interface IntegratedGradientsOptions {
  /** Gradients along the path, >= 1. Default: 16. */
  readonly steps?: number;
  /** Where the path starts in the image: the sample's own baseline (every player absent), or the mean colour. Default: `absent`. */
  readonly imageBaseline?: 'absent' | 'mean';
  /** Steps per run of the model. Default: as many as make 512 tokens, where the model's graphs take batches. */
  readonly batch?: number;
  /** `contrast` (default): the lead over the token that the model would have said instead of the full input; or `logit`. */
  readonly target?: Target;
}

const DEFAULTS = {
  steps: 16,
  imageBaseline: 'absent' as 'absent' | 'mean',
  batch: undefined as number | undefined,
  target: DEFAULT_TARGET,
};

/**
 * Integrated Gradients on the straight path from the baseline to the input: pixels from the
 * image baseline, the embeddings of text players from the pad token's. Tokens that are no players stay as they are.
 *
 * Midpoint rule with `steps` gradients. `diagnostics.completenessError` is |sum of attributions - (f(x) - f(baseline))|,
 * `diagnostics.difference` is f(x) - f(baseline); more steps make the error smaller. Signed.
 */
export function integratedGradients(given?: IntegratedGradientsOptions): Explainer {
  const { steps, imageBaseline, batch, target } = resolveOptions('integratedGradients', DEFAULTS, given);
  if (!Number.isInteger(steps) || steps < 1) throw invalidArgument('steps', 'an integer >= 1', steps);
  if (batch !== undefined && (!Number.isInteger(batch) || batch < 1)) {
    throw invalidArgument('batch', 'an integer >= 1', batch);
  }
  checkTarget(target);
  if (imageBaseline !== 'absent' && imageBaseline !== 'mean') {
    throw invalidArgument('imageBaseline', 'absent or mean', imageBaseline);
  }
  return {
    name: 'integrated-gradients',
    title: 'Integrated Gradients',
    reference: 'Sundararajan et al. 2017, arXiv 1703.01365, eq. 3',
    needsTruth: false,
    async attribute({ sample, signal }) {
      const chain = WhiteBoxChain.of(sample, 'integrated-gradients');
      const { whiteBox } = chain;
      const pixels = chain.pixels();
      // The mean colour is zero in the normalised space of the pixel input.
      const from =
        imageBaseline === 'mean'
          ? new Float32Array(pixels.length)
          : (whiteBox.baselinePixels.data as Float32Array);
      const ids = whiteBox.tokenIds.subarray(0, chain.length);
      const text = await chain.embed(ids, signal);
      const absent = await chain.embed(withPad(ids, whiteBox.textPositions, whiteBox.padTokenId), signal);
      const hidden = text.length / chain.length;
      const end = await chain.gradients({ pixels, tokenEmbeddings: text, target, signal });
      // One function along the whole path: the rival at its end.
      const along = { target, rival: end.rival, signal };
      const pixelSum = new Float64Array(pixels.length);
      const textSum = new Float64Array(text.length);
      const point = (t: number) => ({
        pixels: between(from, pixels, t),
        tokenEmbeddings: between(absent, text, t),
      });
      // The start gives its value only, the middles of the steps their gradients.
      const [start, ...middles] = await chain.gradientsAt(
        [point(0), ...Array.from({ length: steps }, (_, step) => point((step + 0.5) / steps))],
        { ...along, batch },
      );
      for (const run of middles) {
        addScaled(pixelSum, run.pixelGradient, 1 / steps);
        addScaled(textSum, run.embeddingGradient, 1 / steps);
      }
      // Image positions of the embeddings are overwritten by the merge: both ends agree there, so their product is 0.
      const pixelProducts = rowProducts(pixelSum, pixels, from, 1);
      const textProducts = rowProducts(textSum, text, absent, hidden);
      const difference = end.explained - (start as ChainResult).explained;
      const completenessError = Math.abs(sum(pixelProducts) + sum(textProducts) - difference);
      return {
        ...productAttribution(sample, whiteBox, { pixels: pixelProducts, positions: textProducts }),
        diagnostics: { completenessError, difference, steps },
      };
    },
  };
}

function withPad(ids: Int32Array, positions: Int32Array, pad: number): Int32Array {
  const padded = ids.slice();
  for (const position of positions) padded[position] = pad;
  return padded;
}

function between(a: Float32Array, b: Float32Array, t: number): Float32Array {
  return b.map((value, i) => (a[i] as number) + t * (value - (a[i] as number)));
}

function addScaled(sums: Float64Array, values: Float32Array, factor: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + factor * (values[i] as number);
}

function rowProducts(
  gradient: Float64Array,
  to: Float32Array,
  from: Float32Array,
  columns: number,
): Float64Array {
  const difference = to.map((value, i) => value - (from[i] as number));
  return rowDots(gradient, difference, columns);
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
