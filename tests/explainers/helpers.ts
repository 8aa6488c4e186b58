import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { explainers } from '../../lib/explainers/registry.js';
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

/** Every explainer of `all` that needs no ground truth gives every player of the sample a finite score. */
export async function expectAllToScore(sample: PreparedSample): Promise<void> {
  for (const explainer of explainers.filter((item) => !item.needsTruth && !item.byNameOnly)) {
    const { image, text } = await explainer.attribute(contextOf(sample));
    expect([explainer.name, image.length, text.length]).toEqual([
      explainer.name,
      sample.imagePlayers.count,
      sample.textPlayers.count,
    ]);
    expect([...image, ...text].every(Number.isFinite)).toBe(true);
  }
}
