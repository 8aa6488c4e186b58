import type { Explainer } from './types.js';
import { WhiteBoxChain } from './white-box/model.js';
import { productAttribution, rowDots } from './white-box/players.js';
import { resolveTarget, type TargetOptions } from './white-box/target.js';

/** Input x Gradient: gradient times input, summed over the pixels of each cell and over the embedding of each token. Signed. */
export function inputXGradient(options?: TargetOptions): Explainer {
  const target = resolveTarget('inputXGradient', options);
  return {
    name: 'input-x-gradient',
    title: 'Input × Gradient',
    reference: 'Shrikumar et al. 2016, arXiv 1605.01713',
    needsTruth: false,
    async attribute({ sample, signal }) {
      const chain = WhiteBoxChain.of(sample, 'input-x-gradient');
      const run = await chain.gradients({ target, signal });
      return productAttribution(sample, chain.whiteBox, {
        pixels: rowDots(run.pixels, run.pixelGradient, 1),
        positions: rowDots(run.embeddings, run.embeddingGradient, run.hidden),
      });
    },
  };
}
