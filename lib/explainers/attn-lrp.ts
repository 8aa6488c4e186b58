import type { Gamma } from '../onnx/index.js';
import { resolveOptions } from '../options.js';
import type { Explainer } from './types.js';
import { WhiteBoxChain } from './white-box/model.js';
import {
  measuredProducts,
  type ProductOptions,
  type Reference,
  resolveProduct,
} from './white-box/reference.js';
import { DEFAULT_TARGET } from './white-box/target.js';

export interface AttnLrpOptions extends ProductOptions {
  /**
   * Gamma rule in vision tower and projector, as the paper has it for vision transformers. Default: 1 in
   * matrix products. 0 is the epsilon rule, under which opposing contributions cancel layer by layer until
   * the sign of what is left says little.
   */
  readonly visionGamma?: Gamma;
}

const DEFAULTS = {
  target: DEFAULT_TARGET,
  reference: 'absent' as Reference,
  visionGamma: { conv: 0, linear: 1 } as Gamma,
};

/**
 * AttnLRP: layer-wise relevance propagation through decoder, projector and vision tower.
 *
 * In the form of modified gradients times the input: deviations of norms are constants, activations and gates
 * follow the identity rule, products of two activations (attention, gated MLPs) share relevance equally,
 * softmax is differentiated; linear layers follow the epsilon rule with epsilon 0 in the decoder and the
 * Gamma rule in the vision tower. Signed.
 */
export function attnLrp(options?: AttnLrpOptions): Explainer {
  const { visionGamma, ...product } = resolveOptions('attnLrp', DEFAULTS, options);
  const { target, reference } = resolveProduct('attnLrp', product);
  return {
    name: 'attn-lrp',
    title: 'AttnLRP',
    reference: 'Achtibat et al. 2024, arXiv 2402.05602',
    needsTruth: false,
    async attribute({ sample, signal }) {
      const chain = WhiteBoxChain.of(sample, 'attn-lrp');
      const run = await chain.gradients({ mode: 'attnlrp', visionGamma, target, signal });
      return measuredProducts(sample, chain, run, reference);
    },
  };
}
