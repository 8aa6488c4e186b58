import type { PreparedSample, WhiteBox } from '../vlm/types.js';
import type { Explainer } from './types.js';
import { WhiteBoxChain } from './white-box/model.js';
import { meanByPlayer, textScores } from './white-box/players.js';
import { rankGaussianFilter } from './white-box/rank-filter.js';

/**
 * Token Activation Map: the logit lens of every position for the decision token's class, positive part. From
 * the image part the interference of the context is subtracted (estimated causal inference): the maps of the
 * tokens between the image and the decision token, weighted by their own score for the class and scaled by
 * least squares. Then joint min-max and a 3 x 3 rank-Gaussian filter on the grid. Not negative.
 *
 * Differs from the published code, which explains another token and never subtracts anything; and the map
 * keeps its full resolution instead of 8 bits.
 */
export const tam: Explainer = {
  name: 'tam',
  title: 'TAM',
  reference: 'Li et al. 2025, arXiv 2506.23270',
  needsTruth: false,
  async attribute({ sample, signal }) {
    const chain = WhiteBoxChain.of(sample, 'tam');
    const { whiteBox, length, targetToken } = chain;
    const context = contextPositions(whiteBox, length).filter((p) => whiteBox.tokenIds[p] !== targetToken);
    const tokens = Int32Array.from(new Set([targetToken, ...context.map((p) => whiteBox.tokenIds[p])]));
    const logits = await chain.tokenLogits(tokens, signal);
    const score = (position: number, token: number) =>
      Math.max(0, logits[position * tokens.length + tokens.indexOf(token)]);
    const mapOf = (token: number) => Float64Array.from(whiteBox.imagePositions, (p) => score(p, token));
    const interference = new Float64Array(whiteBox.imagePositions.length);
    for (const position of context) {
      const weight = score(position, targetToken);
      if (weight === 0) continue;
      const map = mapOf(whiteBox.tokenIds[position]);
      for (const [i, value] of map.entries()) interference[i] = interference[i] + weight * value;
    }
    const cleaned = withoutInterference(mapOf(targetToken), interference);
    const image = meanByPlayer(cleaned, whiteBox.featurePlayers, sample.imagePlayers.count);
    const positions = Float64Array.from({ length }, (_, position) => score(position, targetToken));
    return finish(sample, image, textScores(positions, whiteBox));
  },
};

/**
 * Text positions behind the image and before the decision token: the question, the template, earlier answer
 * tokens.
 */
function contextPositions(whiteBox: WhiteBox, length: number): number[] {
  const last = whiteBox.imagePositions.reduce((most, position) => Math.max(most, position), -1);
  const image = new Set(whiteBox.imagePositions);
  return Array.from({ length }, (_, position) => position).filter((p) => p > last && !image.has(p));
}

/** max(0, map - a * interference) with the a >= 0 that leaves least in squares (eq. 4). */
export function withoutInterference(map: Float64Array, interference: Float64Array): Float64Array {
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const norm = dot(interference, interference);
  const scale = norm > 0 ? Math.max(0, dot(map, interference) / norm) : 0;
  return map.map((value, i) => Math.max(0, value - scale * interference[i]));
}

function finish(sample: PreparedSample, image: Float64Array, text: Float64Array) {
  const all = [...image, ...text];
  const low = Math.min(...all);
  const span = Math.max(...all) - low;
  const scaled = (values: Float64Array) => values.map((value) => (span > 0 ? (value - low) / span : 0));
  const { rows, columns, tiles } = sample.imagePlayers;
  const filtered = new Float64Array(image.length);
  const grid = scaled(image);
  for (let tile = 0; tile < tiles; tile++) {
    const from = tile * rows * columns;
    filtered.set(rankGaussianFilter(grid.subarray(from, from + rows * columns), rows, columns), from);
  }
  return { image: filtered, text: scaled(text) };
}
