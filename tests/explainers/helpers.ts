import { fileURLToPath } from 'node:url';
import type { ExplainContext } from '../../lib/explainers/types.js';
import type { PreparedSample } from '../../lib/vlm/types.js';

/** A tiny LLaVA directory with random weights. */
export const tinyLlava = fileURLToPath(new URL('../golden/vlm-llava', import.meta.url));

/** What the runner gives an explainer. */
export function contextOf(sample: PreparedSample, seed = 1): ExplainContext {
  return { sample, seed, evaluate: (cells, options) => sample.evaluate(cells, options) };
}

export function total(values: ArrayLike<number>): number {
  return Array.from(values).reduce((sum, value) => sum + value, 0);
}
