import type { NativeTensor } from '../../inference/tensor.js';
import { argmaxRow } from '../scoring.js';
import type { DecoderGraph } from './graph.js';
import type { EmbedGraph } from './graphs.js';

export interface GenerationSettings {
  readonly maxNewTokens: number;
  readonly stopTokens: ReadonlySet<number>;
  /** As generation_config.json has it; 1 changes nothing. */
  readonly repetitionPenalty: number;
  /** Runs the whole sequence for every token instead of continuing the cache. */
  readonly whole?: boolean;
  /**
   * Sees the model's own logits of every step, [vocabulary], before any penalty; they are overwritten
   * afterwards.
   */
  readonly onLogits?: (logits: Float32Array) => void;
}

/**
 * Divides positive and multiplies negative logits of tokens that occurred before (Keskar et al. 2019, CTRL).
 */
function penalise(logits: Float32Array, seen: ReadonlySet<number>, penalty: number): void {
  if (penalty === 1) return;
  for (const id of seen) {
    if (id < logits.length) logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
  }
}

/**
 * Greedy generation with the key/value cache; ties go to the lower token id.
 *
 * @param promptIds the prompt with one token per image feature
 * @param promptEmbeds [promptIds.length, hidden], image features in place
 * @param positionsOf positions of the sequence with the given ids, [axes, ids.length]
 * @returns the new token ids, the stop token last when there was one
 */
export async function generateGreedily(
  decoder: DecoderGraph,
  embed: EmbedGraph,
  promptIds: Int32Array,
  promptEmbeds: Float32Array,
  positionsOf: (ids: Int32Array) => Int32Array,
  settings: GenerationSettings,
  signal?: AbortSignal,
): Promise<Int32Array> {
  const ids = Array.from(promptIds);
  const seen = new Set(ids);
  let cache: Readonly<Record<string, NativeTensor>> | undefined;
  let all = promptEmbeds;
  let embeds = promptEmbeds;
  let length = promptIds.length;
  try {
    for (;;) {
      const positions = positionsOf(Int32Array.from(ids));
      const batch = {
        batch: 1,
        length,
        embeds,
        mask: new Int32Array(ids.length).fill(1),
        positions: lastColumns(positions, ids.length, length),
        rows: 1,
      };
      const result = await decoder.run(batch, cache, settings.whole !== true, signal);
      disposeAll(cache);
      cache = settings.whole ? undefined : result.cache;
      settings.onLogits?.(result.logits.subarray(0, result.vocabulary));
      penalise(result.logits, seen, settings.repetitionPenalty);
      const next = argmaxRow(result.logits, result.vocabulary, 0);
      ids.push(next);
      seen.add(next);
      const count = ids.length - promptIds.length;
      if (settings.stopTokens.has(next) || count >= settings.maxNewTokens) break;
      const { values } = await embed.run(Int32Array.of(next), signal);
      all = appended(all, values);
      embeds = settings.whole ? all : values;
      length = settings.whole ? ids.length : 1;
    }
  } finally {
    disposeAll(cache);
  }
  return Int32Array.from(ids.slice(promptIds.length));
}

/**
 * Whether a whole pass over prompt and answer chooses the tokens that were generated with the cache. Where
 * two tokens are as likely up to rounding, either is right.
 *
 * @param embeds of prompt and answer without the last token, [promptIds.length + answer.length - 1, hidden]
 */
export async function wholePassAgrees(
  decoder: DecoderGraph,
  promptIds: Int32Array,
  answer: Int32Array,
  embeds: Float32Array,
  positionsOf: (ids: Int32Array) => Int32Array,
  { repetitionPenalty }: GenerationSettings,
  signal?: AbortSignal,
): Promise<boolean> {
  const ids = Int32Array.of(...promptIds, ...answer.subarray(0, -1));
  const batch = {
    batch: 1,
    length: ids.length,
    embeds,
    mask: new Int32Array(ids.length).fill(1),
    positions: positionsOf(ids),
    rows: answer.length,
  };
  const { logits, vocabulary } = await decoder.run(batch, undefined, false, signal);
  const seen = new Set(promptIds);
  for (const [row, chosen] of answer.entries()) {
    const own = logits.slice(row * vocabulary, (row + 1) * vocabulary);
    penalise(own, seen, repetitionPenalty);
    const most = own.reduce((largest, value) => Math.max(largest, value), -Infinity);
    const least = own.reduce((smallest, value) => Math.min(smallest, value), Infinity);
    if (!(most - own[chosen] <= AS_LIKELY * (most - least))) return false;
    seen.add(chosen);
  }
  return true;
}

/**
 * Part of the logits' spread within which half precision and other orders of sums may choose another token.
 */
const AS_LIKELY = 1e-2;

/** Embeddings of tokens with those of further tokens behind them. */
export function appended(embeds: Float32Array, token: Float32Array): Float32Array {
  const joined = new Float32Array(embeds.length + token.length);
  joined.set(embeds);
  joined.set(token, embeds.length);
  return joined;
}

/** The last `count` columns of [axes, total]. */
function lastColumns(positions: Int32Array, total: number, count: number): Int32Array {
  const axes = positions.length / total;
  const result = new Int32Array(axes * count);
  for (let axis = 0; axis < axes; axis++) {
    result.set(positions.subarray((axis + 1) * total - count, (axis + 1) * total), axis * count);
  }
  return result;
}

/** The first `count` columns of [axes, total]. */
export function firstColumns(positions: Int32Array, total: number, count: number): Int32Array {
  const axes = positions.length / total;
  const result = new Int32Array(axes * count);
  for (let axis = 0; axis < axes; axis++) {
    result.set(positions.subarray(axis * total, axis * total + count), axis * count);
  }
  return result;
}

function disposeAll(cache: Readonly<Record<string, NativeTensor>> | undefined): void {
  for (const tensor of Object.values(cache ?? {})) tensor.dispose();
}
