import type { Explainer } from './types.js';
import { WhiteBoxChain } from './white-box/model.js';
import { textScores } from './white-box/players.js';
import { rollBoth } from './white-box/rollout.js';

/**
 * Attention Rollout: attention averaged over heads, plus the identity, rows normalised, multiplied over
 * layers; the row of the position that predicts the decision token, continued through the vision tower's
 * rollout. Independent of the token.
 *
 * Only the vision layers that the features come from take part. Not negative.
 */
export const rollout: Explainer = {
  name: 'rollout',
  title: 'Rollout',
  reference: 'Abnar and Zuidema 2020, arXiv 2005.00928, eq. 1',
  needsTruth: false,
  async attribute({ sample, signal }) {
    const chain = WhiteBoxChain.of(sample, 'rollout');
    const { whiteBox, length } = chain;
    const layers = await chain.attentionMaps(signal);
    const rolled = rollBoth(whiteBox, length, sample.imagePlayers.count, layers, true);
    return { image: rolled.image, text: textScores(rolled.positions, whiteBox) };
  },
};
