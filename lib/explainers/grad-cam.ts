import { resolveOptions } from '../options.js';
import type { Explainer } from './types.js';
import { activationMap, defaultDecoderLayer, type LayerChoice, layerTensor } from './white-box/cam.js';
import { WhiteBoxChain } from './white-box/model.js';
import { meanByPlayer } from './white-box/players.js';
import { floats } from './white-box/results.js';

export interface GradCamOptions {
  /**
   * Block of the vision tower whose patch tokens make the image map. Default: -1, the last one before the
   * features.
   */
  readonly visionLayer?: LayerChoice;
  /** Block of the decoder whose text tokens make the text scores. Default: 7/32 of the depth. */
  readonly decoderLayer?: LayerChoice;
}

const DEFAULTS = { visionLayer: -1 as LayerChoice, decoderLayer: undefined as LayerChoice | undefined };

/**
 * Grad-CAM of the decision token's logit: for the image on the patch tokens of a vision layer, for the text
 * on the text players of a decoder layer, each with channel weights of its own. Not negative.
 */
export function gradCam(given?: GradCamOptions): Explainer {
  const options = resolveOptions('gradCam', DEFAULTS, given);
  return {
    name: 'grad-cam',
    title: 'Grad-CAM',
    reference: 'Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2',
    needsTruth: false,
    async attribute({ sample, signal }) {
      const chain = WhiteBoxChain.of(sample, 'grad-cam');
      const { whiteBox } = chain;
      const blocks = await chain.blockOutputs();
      const seen = layerTensor('visionLayer', options.visionLayer, blocks.vision);
      const chosen = options.decoderLayer ?? defaultDecoderLayer(blocks.decoder.length);
      const read = layerTensor('decoderLayer', chosen, blocks.decoder);
      const run = await chain.gradients({ visionTensors: [seen], decoderTensors: [read], signal });
      const patches = rowsWithPlayer(whiteBox.visionTokenPlayers);
      const seenFeatures = floats(run.visionValues[seen]);
      const channels = seenFeatures.length / whiteBox.visionTokenPlayers.length;
      const map = activationMap(seenFeatures, floats(run.visionGradients[seen]), channels, patches);
      const players = patches.map((row) => whiteBox.visionTokenPlayers[row]);
      const textFeatures = floats(run.decoderValues[read]);
      const textGradient = floats(run.decoderGradients[read]);
      return {
        image: meanByPlayer(map, players, sample.imagePlayers.count),
        text: activationMap(textFeatures, textGradient, run.hidden, whiteBox.textPositions),
      };
    },
  };
}

function rowsWithPlayer(players: Int32Array): Int32Array {
  return Int32Array.from(players.keys()).filter((row) => players[row] >= 0);
}
