import type { TensorValue } from '../inference/session.js';
import type { Explainer } from './types.js';
import { floats, WhiteBoxChain } from './white-box/model.js';
import { textScores } from './white-box/players.js';
import { headMean, type LayerMap, rollBoth } from './white-box/rollout.js';

/**
 * Gradient-weighted attention rollout: the positive part of attention times its gradient (of the decision token's logit),
 * averaged over heads; R <- R + A R over layers, through decoder and vision tower. Not negative.
 */
export const gradRollout: Explainer = {
  name: 'grad-rollout',
  title: 'Grad × Rollout',
  reference: 'Chefer et al. 2021, arXiv 2103.15679, eq. 5 and 6',
  needsTruth: false,
  async attribute({ sample, signal }) {
    const chain = WhiteBoxChain.of(sample, 'grad-rollout');
    const { whiteBox, length } = chain;
    const run = await chain.gradients({ attentions: true, signal });
    const names = await chain.attentionNames();
    const layers = {
      decoder: names.decoder.map((name) =>
        weighted(run.decoderValues[name], run.decoderGradients[name], length),
      ),
      vision: names.vision.map((name) =>
        weighted(run.visionValues[name], run.visionGradients[name], whiteBox.visionTokenPlayers.length),
      ),
    };
    const rolled = rollBoth(whiteBox, length, sample.imagePlayers.count, layers, false);
    return { image: rolled.image, text: textScores(rolled.positions, whiteBox) };
  },
};

function weighted(
  attention: TensorValue | undefined,
  gradient: TensorValue | undefined,
  tokens: number,
): LayerMap {
  const slope = floats(gradient);
  return headMean(attention as TensorValue, tokens, (value, i) => Math.max(0, value * (slope[i] as number)));
}
