import type { Explainer } from './types.js';
import { WhiteBoxChain } from './white-box/model.js';
import { measuredProducts, type ProductOptions, resolveProduct } from './white-box/reference.js';

/**
 * Input x Gradient: gradient times input, summed over the pixels of each cell and over the embedding of each
 * token. Signed.
 */
export function inputXGradient(options?: ProductOptions): Explainer {
  const { target, reference } = resolveProduct('inputXGradient', options);
  return {
    name: 'input-x-gradient',
    title: 'Input × Gradient',
    reference: 'Shrikumar et al. 2016, arXiv 1605.01713',
    needsTruth: false,
    async attribute({ sample, signal }) {
      const chain = WhiteBoxChain.of(sample, 'input-x-gradient');
      const run = await chain.gradients({ target, signal });
      return measuredProducts(sample, chain, run, reference);
    },
  };
}
