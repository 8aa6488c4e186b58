import type { WhiteBox } from '../../vlm/types.js';
import { sumByPlayer } from './players.js';
import type { LayerMap } from './results.js';

/** v^T (A + I) for one layer; with `normalise`, the rows of A + I first divided by their sums. */
function throughLayer(v: Float64Array, layer: LayerMap, normalise: boolean): Float64Array {
  const { blocks, tokens: n, read } = layer;
  const result = new Float64Array(v.length);
  const line = new Float64Array(n);
  for (let row = 0; row < blocks * n; row++) {
    if (v[row] === 0) continue;
    const start = Math.floor(row / n) * n;
    read(row, line);
    const scale = v[row] / (normalise ? 1 + sum(line) : 1);
    for (let j = 0; j < n; j++) result[start + j] = result[start + j] + scale * line[j];
    result[row] = result[row] + scale;
  }
  return result;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

/**
 * One row of the rollout product A_L ... A_1, without forming it: a vector goes through the layers from the
 * last to the first.
 */
function rolloutRow(v: Float64Array, layers: readonly LayerMap[], normalise: boolean): Float64Array {
  return layers.reduceRight((row, layer) => throughLayer(row, layer, normalise), v);
}

/**
 * Rolls the last position's relevance back through the decoder, and that of the image features on through the
 * vision tower.
 */
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
  const features = Float64Array.from(whiteBox.imagePositions, (position) => positions[position]);
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
    player < 0 ? 0 : relevance[player] / sizes[player],
  );
}
