/**
 * What exporters of models that generate (Optimum, the scripts of transformers.js, PyTorch's own for
 * `transformers` classes) call the inputs and outputs of their graphs.
 */
export const EXPORTED = {
  /** int64 [batch, length] */
  tokens: 'input_ids',
  /** [batch, length, hidden] */
  embeddings: 'inputs_embeds',
  /** [batch, past + length] */
  mask: 'attention_mask',
  /** [batch, length], or [3, batch, length] for M-RoPE */
  positions: 'position_ids',
  /** [batch, length, vocabulary] */
  logits: 'logits',
  pixels: 'pixel_values',
  features: 'image_features',
  /** How many of the last rows of logits are wanted. */
  keptLogits: 'num_logits_to_keep',
  /** Whether a merged decoder reads its cache. */
  readsCache: 'use_cache_branch',
} as const;

const CACHE = 'past_key_values.';

/**
 * Whether an input takes keys or values of earlier tokens: `past_key_values.N.key` or `.value`, [batch,
 * heads, past, size].
 */
export function isCache(input: string): boolean {
  return input.startsWith(CACHE);
}

/** The output that continues a cache: `present.N.key` of `past_key_values.N.key`. */
export function cacheAfter(input: string): string {
  return input.replace(CACHE, 'present.');
}

/**
 * What a decoder was fed as its sequence, [batch, length, ...]; undefined for graphs that call it otherwise.
 */
export function sequenceOf<T>(feeds: Readonly<Record<string, T>>): T | undefined {
  return feeds[EXPORTED.embeddings] ?? feeds[EXPORTED.tokens];
}
