import type { Explainer } from './types.js';
import { WhiteBoxChain } from './white-box/model.js';
import { textScores } from './white-box/players.js';
import { rollBoth } from './white-box/rollout.js';

/**
 * Gradient-weighted attention rollout: the positive part of attention times its gradient (of the decision
 * token's logit), averaged over heads; R <- R + A R over layers, through decoder and vision tower. Not
 * negative.
 */
export const gradRollout: Explainer = {
  name: 'grad-rollout',
  title: 'Grad × Rollout',
  reference: 'Chefer et al. 2021, arXiv 2103.15679, eq. 5 and 6',
  needsTruth: false,
  async attribute({ sample, signal }) {
    const chain = WhiteBoxChain.of(sample, 'grad-rollout');
    const { whiteBox, length } = chain;
    const { decoderMaps, visionMaps } = await chain.gradients({ attentionMaps: true, signal });
    const layers = { decoder: decoderMaps, vision: visionMaps };
    const rolled = rollBoth(whiteBox, length, sample.imagePlayers.count, layers, false);
    return { image: rolled.image, text: textScores(rolled.positions, whiteBox) };
  },
};
