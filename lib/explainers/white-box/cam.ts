import { checkInteger } from '../../checks.js';
import { FsynError } from '../../errors.js';
import { suggestions } from '../../onnx/queries.js';

/** A transformer block: its index (negative counts from the last), or the name of a tensor of the graph. */
export type LayerChoice = number | string;

/**
 * The tensor of a chosen layer.
 *
 * @throws FsynError `INVALID_ARGUMENT` for an index out of range or, naming similar ones, an unknown name
 */
export function layerTensor(parameter: string, choice: LayerChoice, blocks: readonly string[]): string {
  if (typeof choice === 'string') {
    if (blocks.includes(choice)) return choice;
    const similar = suggestions(choice, blocks);
    const known =
      similar.length > 0 ? `Did you mean ${similar.join(', ')}?` : `Block outputs: ${blocks.join(', ')}.`;
    throw new FsynError(
      'INVALID_ARGUMENT',
      `Unknown layer ${JSON.stringify(choice)} for ${parameter}. ${known}`,
    );
  }
  checkInteger(parameter, choice, -blocks.length, blocks.length - 1);
  return blocks[choice < 0 ? choice + blocks.length : choice];
}

/** The published choice, block 7 of a decoder of 32, as the same fraction of another depth. */
export function defaultDecoderLayer(blocks: number): number {
  // The last block's gradient is zero everywhere but at the last position.
  return Math.max(0, Math.min(blocks - 2, Math.round((blocks * 7) / 32)));
}

/**
 * Class activation map of tokens: channel weights are the mean gradient over the tokens of the set, a token's
 * score is the positive part of its weighted channels (Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2).
 *
 * @param features [tokens, channels]
 * @param gradient of the same shape
 * @param rows the tokens of the set
 */
export function activationMap(
  features: Float32Array,
  gradient: Float32Array,
  channels: number,
  rows: Int32Array,
): Float64Array {
  const weights = new Float64Array(channels);
  for (const row of rows) {
    for (let c = 0; c < channels; c++) {
      weights[c] = weights[c] + gradient[row * channels + c] / rows.length;
    }
  }
  return Float64Array.from(rows, (row) => {
    let score = 0;
    for (let c = 0; c < channels; c++) score += features[row * channels + c] * weights[c];
    return Math.max(0, score);
  });
}
