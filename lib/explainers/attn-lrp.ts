import type { Explainer } from './types.js';
import { WhiteBoxChain } from './white-box/model.js';
import { productAttribution, rowDots } from './white-box/players.js';
import { resolveTarget, type TargetOptions } from './white-box/target.js';

/**
 * AttnLRP: layer-wise relevance propagation through decoder, projector and vision tower.
 *
 * In the form of modified gradients times the input: deviations of norms are constants, activations and gates follow the
 * identity rule, products of two activations (attention, gated MLPs) share relevance equally, softmax is differentiated;
 * linear layers, convolution included, follow the epsilon rule with epsilon 0 in both towers. Signed.
 */
export function attnLrp(options?: TargetOptions): Explainer {
  const target = resolveTarget('attnLrp', options);
  return {
    name: 'attn-lrp',
    title: 'AttnLRP',
    reference: 'Achtibat et al. 2024, arXiv 2402.05602',
    needsTruth: false,
    async attribute({ sample, signal }) {
      const chain = WhiteBoxChain.of(sample, 'attn-lrp');
      const run = await chain.gradients({ mode: 'attnlrp', target, signal });
      return productAttribution(sample, chain.whiteBox, {
        pixels: rowDots(run.pixels, run.pixelGradient, 1),
        positions: rowDots(run.embeddings, run.embeddingGradient, run.hidden),
      });
    },
  };
}
