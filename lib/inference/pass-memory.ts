import { formatBytes } from '../bytes.js';
import { FsynError } from '../errors.js';
import type { DecoderWiring } from './program.js';

/** Sizes that decide how much fits into memory. */
export interface ModelSizes {
  /** Bytes of the key/value cache per token. */
  readonly cacheBytesPerToken: number;
  readonly layers: number;
  readonly headSize: number;
  readonly hidden: number;
  readonly vocabulary: number;
  readonly floatBytes: number;
}

/** What decides how much memory the passes of one sample take. */
export interface PassSizes {
  /** Tokens of the prompt and the scored answer, and how many of them are shared. */
  readonly tokens: number;
  readonly prefixLength: number;
  /** Rows of logits that are wanted, and whether the decoder computes no others. */
  readonly targets: number;
  readonly selectsRows: boolean;
  readonly features: number;
  /** Tokens in the vision tower's attention, and the tiles that attend to themselves only. */
  readonly visionTokens: number;
  readonly visionTiles: number;
  /** Elements of the pixel input. */
  readonly pixels: number;
  readonly sizes: ModelSizes;
}

/** Bytes of one item of each kind. */
export interface ItemBytes {
  readonly vision: number;
  readonly prefix: number;
  readonly suffix: number;
  /** A full pass, which the trial of a decoder runs whatever is shared later. */
  readonly full: number;
  /**
   * What stays of an image state until its cells are scored: its features, and with them the prefix's cache.
   */
  readonly features: number;
  readonly held: number;
}

/**
 * What a worker takes whatever it runs: its thread, what the runtime's kernels allocate for themselves,
 * rounding of the allocators, and JavaScript's part of an evaluation. Measured on the embedded models, whose
 * passes take less than that.
 */
export const workerBytes = 8e6;

/** What the runtime's arena loses between blocks of different sizes. */
export const fragmentation = 1.15;

/** Bytes that activations and attention scores of some tokens take at the widest point of a layer. */
function layerBytes(sizes: ModelSizes, tokens: number, attended: number): number {
  const { hidden, headSize, floatBytes } = sizes;
  // About two dozen activations of the hidden size, and the scores of all heads before and after the softmax.
  return (24 * tokens * hidden + 2 * Math.ceil(hidden / headSize) * tokens * attended) * floatBytes;
}

/** Bytes that one sequence of `tokens` after `past` cached ones takes while it runs. */
function sequenceBytes(sizes: ModelSizes, past: number, tokens: number, rows: number): number {
  const { cacheBytesPerToken, layers, vocabulary, floatBytes } = sizes;
  // The cache given, the cache returned, and what attention makes of one layer's: keys transposed, keys and
  // values repeated.
  const caches = cacheBytesPerToken * (past + (1 + 3 / layers) * (past + tokens));
  return caches + layerBytes(sizes, tokens, past + tokens) + rows * vocabulary * floatBytes;
}

/** Bytes of one image state, prefix, suffix and full pass. */
export function itemBytes(needs: PassSizes): ItemBytes {
  const { tokens, prefixLength, targets, features, pixels, sizes } = needs;
  const suffixTokens = tokens - prefixLength;
  const rows = (length: number, wanted: number) => (needs.selectsRows ? wanted : length);
  const featureBytes = features * sizes.hidden * sizes.floatBytes;
  return {
    // Pixels twice, and a tower about as wide as the language model.
    vision: 8 * pixels + layerBytes(sizes, needs.visionTokens, needs.visionTokens / needs.visionTiles),
    prefix: prefixLength > 0 ? sequenceBytes(sizes, 0, prefixLength, rows(prefixLength, 1)) : 0,
    suffix: sequenceBytes(sizes, prefixLength, suffixTokens, rows(suffixTokens, targets)),
    full: sequenceBytes(sizes, 0, tokens, rows(tokens, targets)),
    features: featureBytes,
    held: sizes.cacheBytesPerToken * prefixLength + featureBytes,
  };
}

/**
 * Bytes of a worker that runs these numbers at once. The two sessions keep what their largest run took for
 * the next one, so vision tower and decoder add up; the decoder's prefixes and suffixes share.
 */
export function workerPeak(
  item: ItemBytes,
  { vision, prefix, suffix, group }: Readonly<Record<'vision' | 'prefix' | 'suffix' | 'group', number>>,
): number {
  const runs = Math.max(Math.min(prefix, group) * item.prefix, suffix * item.suffix);
  return workerBytes + Math.ceil(fragmentation * (vision * item.vision + runs + group * item.held));
}

/**
 * The smallest budget that a sample can be scored in: everything one by one, and the trial of two sequences
 * together.
 */
export function leastBytes(item: ItemBytes): number {
  const { vision, prefix, suffix, full, features, held } = item;
  const decoder = Math.max(full + features, prefix + held, (prefix > 0 ? 2 : 1) * suffix + held);
  return workerBytes + Math.ceil(fragmentation * (vision + decoder));
}

/**
 * Throws unless a sample of these sizes can be scored in `memory` bytes.
 *
 * @throws FsynError BUDGET, naming the smallest budget that would do
 */
export function checkBudget(needs: PassSizes, memory: number): void {
  const least = leastBytes(itemBytes(needs));
  if (memory >= least) return;
  throw new FsynError(
    'BUDGET',
    `A memory budget of ${formatBytes(memory)} is too small: one image state and sequences of ${needs.tokens} tokens need ` +
      `${formatBytes(least)} (${least} bytes) beside the model's weights.`,
  );
}

/** Whether the decoder computes logits for wanted rows only. */
export function selectsRows(wiring: DecoderWiring): boolean {
  return wiring.keep !== undefined || wiring.rows !== undefined;
}
