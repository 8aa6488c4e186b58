import { FsynError } from '../../errors.js';
import type { TensorValue } from '../../inference/session.js';
import type { WhiteBox } from '../../vlm/types.js';
import { sumByPlayer } from './players.js';
import { floats } from './results.js';

/** One layer's attention averaged over heads: block-diagonal over images (or tiles), each [tokens, tokens]. */
export interface LayerMap {
  readonly blocks: number;
  readonly tokens: number;
  /** What token `row` of all blocks attends to, written into [tokens]. */
  readonly read: (row: number, line: Float64Array) => void;
}

/**
 * Averages heads: of the probabilities, or of the positive part of each times its gradient. A row is averaged when it is
 * read: maps of all layers at once are larger than a cache, and rows without relevance are never read.
 *
 * @param tokens number of all tokens; the attention tensor is [blocks, heads, n, n] or [blocks * heads, n, n]
 * @param gradient of the attention tensor's shape
 */
export function headMean(attention: TensorValue, tokens: number, gradient?: TensorValue): LayerMap {
  const values = floats(attention);
  const slopes = gradient && floats(gradient);
  const n = attention.shape.at(-1) as number;
  const maps = values.length / (n * n);
  const blocks = tokens / n;
  const heads = maps / blocks;
  if (attention.shape.at(-2) !== n || !Number.isInteger(blocks) || !Number.isInteger(heads)) {
    const message = `An attention tensor of shape [${attention.shape.join(', ')}] does not fit ${tokens} tokens.`;
    throw new FsynError('MODEL_CONTRACT', message);
  }
  const read = (row: number, line: Float64Array) => {
    line.fill(0);
    const first = (Math.floor(row / n) * heads * n + (row % n)) * n;
    for (let head = 0; head < heads; head++) {
      const start = first + head * n * n;
      if (slopes) addPositiveProducts(line, values, slopes, start);
      else addTo(line, values, start);
    }
    for (let j = 0; j < n; j++) line[j] = (line[j] as number) / heads;
  };
  return { blocks, tokens: n, read };
}

// Millions of entries: loops without calls or choices, over arrays of one kind each.

function addTo(sums: Float64Array, values: Float32Array, start: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (values[start + i] as number);
}

function addPositiveProducts(
  sums: Float64Array,
  values: Float32Array,
  slopes: Float32Array,
  start: number,
): void {
  for (let i = 0; i < sums.length; i++) {
    const product = (values[start + i] as number) * (slopes[start + i] as number);
    if (product > 0) sums[i] = (sums[i] as number) + product;
  }
}

/** v^T (A + I) for one layer; with `normalise`, the rows of A + I first divided by their sums. */
export function throughLayer(v: Float64Array, layer: LayerMap, normalise: boolean): Float64Array {
  const { blocks, tokens: n, read } = layer;
  const result = new Float64Array(v.length);
  const line = new Float64Array(n);
  for (let row = 0; row < blocks * n; row++) {
    if (v[row] === 0) continue;
    const start = Math.floor(row / n) * n;
    read(row, line);
    const scale = (v[row] as number) / (normalise ? 1 + sum(line) : 1);
    for (let j = 0; j < n; j++)
      result[start + j] = (result[start + j] as number) + scale * (line[j] as number);
    result[row] = (result[row] as number) + scale;
  }
  return result;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] as number;
  return total;
}

/** One row of the rollout product A_L ... A_1, without forming it: a vector goes through the layers from the last to the first. */
export function rolloutRow(v: Float64Array, layers: readonly LayerMap[], normalise: boolean): Float64Array {
  return layers.reduceRight((row, layer) => throughLayer(row, layer, normalise), v);
}

/** Rolls the last position's relevance back through the decoder, and that of the image features on through the vision tower. */
export function rollBoth(
  whiteBox: WhiteBox,
  length: number,
  players: number,
  layers: { readonly decoder: readonly LayerMap[]; readonly vision: readonly LayerMap[] },
  normalise: boolean,
): { image: Float64Array; positions: Float64Array } {
  const start = new Float64Array(length);
  start[length - 1] = 1;
  const positions = rolloutRow(start, layers.decoder, normalise);
  const features = Float64Array.from(whiteBox.imagePositions, (position) => positions[position] as number);
  const tokens = rolloutRow(spreadOverTokens(features, whiteBox), layers.vision, normalise);
  return { image: sumByPlayer(tokens, whiteBox.visionTokenPlayers, players), positions };
}

/** A feature's relevance goes in equal parts to the vision tokens of its player, which it was made from. */
function spreadOverTokens(features: Float64Array, whiteBox: WhiteBox): Float64Array {
  const { featurePlayers, visionTokenPlayers } = whiteBox;
  const players = 1 + featurePlayers.reduce((most, player) => Math.max(most, player), 0);
  const relevance = sumByPlayer(features, featurePlayers, players);
  const sizes = sumByPlayer(new Uint8Array(visionTokenPlayers.length).fill(1), visionTokenPlayers, players);
  return Float64Array.from(visionTokenPlayers, (player) =>
    player < 0 ? 0 : (relevance[player] as number) / (sizes[player] as number),
  );
}
