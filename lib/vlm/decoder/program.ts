import type { EvaluatorProgram } from '../../inference/program.js';
import { modelCosts } from '../files/costs.js';
import { isObject, type JsonObject } from '../json.js';
import type { PreparedInputs, VlmParts } from './parts.js';

/** A prepared sample as the plain data that the native evaluator works on. */
export function evaluatorProgram(parts: VlmParts, inputs: PreparedInputs): EvaluatorProgram {
  const { architecture, vision, embed, decoder } = parts;
  const { prompt, answer, encoding, scored } = inputs;
  const tokenIds = new Int32Array(prompt.ids.length + scored - 1);
  tokenIds.set(prompt.ids);
  tokenIds.set(answer.tokenIds.subarray(0, scored - 1), prompt.ids.length);
  return {
    vision: vision.graph.session,
    embed: embed.graph.session,
    decoder: decoder.graph.session,
    wiring: decoder.wiring,
    imagePlayers: encoding.players.count,
    textPlayers: prompt.players.count,
    pixelInput: architecture.pixelInput,
    featureOutput: vision.featureOutput,
    pixels: encoding.pixels,
    baselinePixels: inputs.baselinePixels,
    pixelShape: encoding.pixelShape,
    pixelPlayers: encoding.pixelPlayers,
    visionFeeds: vision.feeds(encoding, encoding.pixels),
    tokenIds,
    imagePositions: prompt.imagePositions,
    textPositions: prompt.players.positions,
    padTokenId: inputs.padTokenId,
    textMasking: inputs.textMasking,
    leaveOut: inputs.removal === 'leave-out',
    positions: architecture.positions(tokenIds, prompt.imagePositions, encoding),
    targets: answer.tokenIds.slice(0, scored),
    decision: answer.decisionIndex,
    deviceCaches: parts.deviceCaches,
    fallbacks: [...parts.fallbacks, ...inputs.fallbacks],
    modelContent: parts.content,
    ...attentionWindow(parts.directory.config),
    visionTokens: encoding.visionTokenPlayers.length,
    visionTiles: encoding.players.tiles,
    costs: modelCosts(parts.costs.vision, parts.costs.decoder, encoding.featurePlayers.length),
  };
}

/**
 * The window of tokens that a decoder attends to, as its configuration says; none where it attends to all.
 */
export function attentionWindow(config: JsonObject): { attentionWindow?: number } {
  const sources = [config.text_config, config].filter(isObject);
  const first = (key: string) => sources.map((source) => source[key]).find((value) => value !== undefined);
  const window = first('sliding_window');
  if (typeof window !== 'number' || first('use_sliding_window') === false) return {};
  return { attentionWindow: window };
}
