import { checkInteger, checkOneOf } from '../checks.js';
import { resolveOptions } from '../options.js';
import type { Explainer } from './types.js';
import { type Target, WhiteBoxChain } from './white-box/model.js';
import { productAttribution, rowDots } from './white-box/players.js';
import type { ChainResult } from './white-box/results.js';
import { checkTarget, DEFAULT_TARGET } from './white-box/target.js';

export interface IntegratedGradientsOptions {
  /** Gradients along each path, >= 1. Default: 16. */
  readonly steps?: number;
  /**
   * `separate` (default): the image's path runs with the question given, the words' path with the image
   * given. `joint`: both come in together, as published.
   */
  readonly path?: 'separate' | 'joint';
  /**
   * Where the path starts in the image: the sample's own baseline (every player absent), or the mean colour.
   * Default: `absent`.
   */
  readonly imageBaseline?: 'absent' | 'mean';
  /**
   * Steps per run of the model. Default: as many as make 512 tokens, where the model's graphs take batches.
   */
  readonly batch?: number;
  /**
   * What is explained. Default: `contrast`, the lead over the token that the model would have said instead of
   * the full input.
   */
  readonly target?: Target;
}

const DEFAULTS = {
  steps: 16,
  path: 'separate' as 'separate' | 'joint',
  imageBaseline: 'absent' as 'absent' | 'mean',
  batch: undefined as number | undefined,
  target: DEFAULT_TARGET,
};

/** Where a gradient is taken, from 0 (absent) to 1 (given), and the length of the path that it stands for. */
interface Step {
  readonly at: number;
  readonly weight: number;
}

/** Even steps; the middle of each. */
function even(steps: number): Step[] {
  return Array.from({ length: steps }, (_, i) => ({ at: (i + 0.5) / steps, weight: 1 / steps }));
}

/**
 * Steps of the substitution t = u^4, dense at the start. A decoder divides embeddings by their norm first:
 * from a pad token of zeros, as many models have it, words are at full strength within the first thousandth
 * of the path, which even steps pass over.
 */
function denseAtStart(steps: number): Step[] {
  return Array.from({ length: steps }, (_, i) => ({
    at: ((i + 0.5) / steps) ** 4,
    weight: ((i + 1) / steps) ** 4 - (i / steps) ** 4,
  }));
}

/**
 * Integrated Gradients on straight paths from the baseline to the input: pixels from the image baseline, the
 * embeddings of text players from the pad token's. Tokens that are no players stay as they are.
 *
 * Midpoint rule with `steps` gradients a path. `diagnostics.completenessError` is |sum of attributions -
 * (f(x) - f(baseline))|, added up over the paths, and `diagnostics.difference` (separate: `imageDifference`,
 * `textDifference`) is f(x) - f(baseline), where the baseline of a separate path lacks one modality. More
 * steps make the error smaller where f is smooth along the path. Signed.
 */
export function integratedGradients(given?: IntegratedGradientsOptions): Explainer {
  const options = resolveOptions('integratedGradients', DEFAULTS, given);
  const { steps, path, imageBaseline, batch, target } = options;
  checkInteger('steps', steps, 1);
  if (batch !== undefined) checkInteger('batch', batch, 1);
  checkTarget(target);
  checkOneOf('path', path, ['separate', 'joint']);
  checkOneOf('imageBaseline', imageBaseline, ['absent', 'mean']);
  return {
    name: 'integrated-gradients',
    title: 'Integrated Gradients',
    reference: 'Sundararajan et al. 2017, arXiv 1703.01365, eq. 3',
    needsTruth: false,
    async attribute({ sample, signal }) {
      const chain = WhiteBoxChain.of(sample, 'integrated-gradients');
      const ends = await endsOf(chain, imageBaseline, signal);
      const end = await chain.gradients({ pixels: ends.pixels, tokenEmbeddings: ends.text, target, signal });
      // One function along all paths: the rival at their end.
      const along = { target, rival: end.rival, batch, signal };
      const { products, diagnostics } =
        path === 'joint'
          ? await jointly(chain, ends, end, even(steps), along)
          : await separately(chain, ends, end, { image: even(steps), text: denseAtStart(steps) }, along);
      return {
        ...productAttribution(sample, chain.whiteBox, products),
        diagnostics: { ...diagnostics, steps },
      };
    },
  };
}

interface Ends {
  readonly pixels: Float32Array;
  readonly absentPixels: Float32Array;
  readonly text: Float32Array;
  readonly absentText: Float32Array;
  readonly hidden: number;
}

type Along = Parameters<WhiteBoxChain['gradientsAt']>[1];

interface Integral {
  readonly products: { readonly pixels: Float64Array; readonly positions: Float64Array };
  readonly diagnostics: Readonly<Record<string, number>>;
}

async function endsOf(
  chain: WhiteBoxChain,
  imageBaseline: 'absent' | 'mean',
  signal: AbortSignal | undefined,
): Promise<Ends> {
  const { whiteBox, length } = chain;
  const pixels = chain.pixels();
  // The mean colour is zero in the normalised space of the pixel input.
  const absentPixels =
    imageBaseline === 'mean'
      ? new Float32Array(pixels.length)
      : (whiteBox.baselinePixels.data as Float32Array);
  const ids = whiteBox.tokenIds.subarray(0, length);
  const text = await chain.embed(ids, signal);
  // Image positions of the embeddings are overwritten by the merge: both ends agree there, so their product
  // is 0.
  const absentText = await chain.embed(withPad(ids, whiteBox.textPositions, whiteBox.padTokenId), signal);
  return { pixels, absentPixels, text, absentText, hidden: text.length / length };
}

/** Both modalities on one path. */
async function jointly(
  chain: WhiteBoxChain,
  ends: Ends,
  end: ChainResult,
  steps: readonly Step[],
  along: Along,
): Promise<Integral> {
  const point = (t: number) => ({
    pixels: between(ends.absentPixels, ends.pixels, t),
    tokenEmbeddings: between(ends.absentText, ends.text, t),
  });
  // The start gives its value only, the middles of the steps their gradients.
  const [start, ...middles] = await chain.gradientsAt([point(0), ...steps.map(({ at }) => point(at))], along);
  const products = {
    pixels: pixelProducts(ends, middles, steps),
    positions: textProducts(ends, middles, steps),
  };
  const difference = end.explained - (start as ChainResult).explained;
  const completenessError = Math.abs(sum(products.pixels) + sum(products.positions) - difference);
  return { products, diagnostics: { completenessError, difference } };
}

/**
 * The image's path with all words there, the words' path with the image there: of the decoder alone, as the
 * features stay.
 */
async function separately(
  chain: WhiteBoxChain,
  ends: Ends,
  end: ChainResult,
  steps: { readonly image: readonly Step[]; readonly text: readonly Step[] },
  along: Along,
): Promise<Integral> {
  const seen = (t: number) => ({
    pixels: between(ends.absentPixels, ends.pixels, t),
    tokenEmbeddings: ends.text,
  });
  const read = (t: number) => ({
    features: end.features,
    tokenEmbeddings: between(ends.absentText, ends.text, t),
  });
  const [blind, ...images] = await chain.gradientsAt(
    [seen(0), ...steps.image.map(({ at }) => seen(at))],
    along,
  );
  const [mute, ...texts] = await chain.gradientsAt([read(0), ...steps.text.map(({ at }) => read(at))], along);
  const products = {
    pixels: pixelProducts(ends, images, steps.image),
    positions: textProducts(ends, texts, steps.text),
  };
  const imageDifference = end.explained - (blind as ChainResult).explained;
  const textDifference = end.explained - (mute as ChainResult).explained;
  const completenessError =
    Math.abs(sum(products.pixels) - imageDifference) + Math.abs(sum(products.positions) - textDifference);
  return { products, diagnostics: { completenessError, imageDifference, textDifference } };
}

function pixelProducts(
  { pixels, absentPixels }: Ends,
  runs: readonly ChainResult[],
  steps: readonly Step[],
): Float64Array {
  const gradients = runs.map(({ pixelGradient }) => pixelGradient);
  return rowProducts(integral(gradients, steps), pixels, absentPixels, 1);
}

function textProducts(
  { text, absentText, hidden }: Ends,
  runs: readonly ChainResult[],
  steps: readonly Step[],
): Float64Array {
  const gradients = runs.map(({ embeddingGradient }) => embeddingGradient);
  return rowProducts(integral(gradients, steps), text, absentText, hidden);
}

function integral(gradients: readonly Float32Array[], steps: readonly Step[]): Float64Array {
  const sums = new Float64Array(gradients[0]?.length ?? 0);
  for (const [i, gradient] of gradients.entries()) addScaled(sums, gradient, (steps[i] as Step).weight);
  return sums;
}

function withPad(ids: Int32Array, positions: Int32Array, pad: number): Int32Array {
  const padded = ids.slice();
  for (const position of positions) padded[position] = pad;
  return padded;
}

function between(a: Float32Array, b: Float32Array, t: number): Float32Array {
  return b.map((value, i) => a[i] + t * (value - a[i]));
}

function addScaled(sums: Float64Array, values: Float32Array, factor: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = sums[i] + factor * values[i];
}

function rowProducts(
  gradient: Float64Array,
  to: Float32Array,
  from: Float32Array,
  columns: number,
): Float64Array {
  const difference = to.map((value, i) => value - from[i]);
  return rowDots(gradient, difference, columns);
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
