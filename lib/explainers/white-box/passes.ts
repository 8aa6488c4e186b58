import type { ChainInputs } from './inputs.js';
import { passJoined } from './joined-pass.js';
import { PassRequest } from './request.js';
import type { ChainOptions, ChainPoint, ChainResult, Computed } from './results.js';
import type { ModelSessions } from './sessions.js';
import { passSplit } from './split-pass.js';

/**
 * One forward and one backward pass for all points together: in one session where that fits into memory, else
 * graph by graph, with checkpoints where these are needed.
 */
export async function pass(
  inputs: ChainInputs,
  sessions: ModelSessions,
  points: readonly ChainPoint[],
  options: ChainOptions,
): Promise<ChainResult[]> {
  const request = new PassRequest(inputs, points, options);
  const computed = (await passJoined(sessions, request)) ?? (await passSplit(sessions, request));
  return points.map((_, i) => resultAt(inputs, computed, i));
}

const NOTHING = new Float32Array(0);

function resultAt(inputs: ChainInputs, computed: Computed, i: number): ChainResult {
  const { decoder, vision } = computed;
  const { value, rival } = computed.explained[i];
  const [features, embeddingGradient] = [computed.features[i], computed.embeddingGradients[i]];
  const hidden = embeddingGradient.length / inputs.length;
  inputs.requireFeatures(features.length, hidden);
  return {
    explained: value,
    rival,
    embeddings: computed.embeddings[i],
    embeddingGradient,
    features,
    featureGradient: inputs.imageRows(embeddingGradient),
    hidden,
    decoderValues: decoder.values,
    decoderGradients: decoder.gradients,
    decoderMaps: decoder.maps,
    pixels: vision?.pixels[i] ?? NOTHING,
    pixelGradient: vision?.pixelGradients[i] ?? NOTHING,
    visionValues: vision?.values ?? {},
    visionGradients: vision?.gradients ?? {},
    visionMaps: vision?.maps ?? [],
  };
}
