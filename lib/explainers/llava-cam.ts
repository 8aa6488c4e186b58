import { checkInteger, checkNumber } from '../checks.js';
import { resolveOptions } from '../options.js';
import { Random } from '../statistics/random.js';
import type { Explainer } from './types.js';
import { activationMap, defaultDecoderLayer, type LayerChoice, layerTensor } from './white-box/cam.js';
import { WhiteBoxChain } from './white-box/model.js';
import { normalStream } from './white-box/noise.js';
import { meanByPlayer } from './white-box/players.js';
import { floats } from './white-box/results.js';

export interface LlavaCamOptions {
  /** Block of the decoder. Default: 7/32 of the depth. */
  readonly decoderLayer?: LayerChoice;
  /** Noisy copies of the image to average over, >= 1. Default: 10. */
  readonly samples?: number;
  /** Standard deviation of the noise as a fraction of the pixel input's range, >= 0. Default: 0.1. */
  readonly noise?: number;
}

const DEFAULTS = { decoderLayer: undefined as LayerChoice | undefined, samples: 10, noise: 0.1 };

/**
 * LLaVA-CAM: class activation maps of a decoder layer, for the image on the image tokens and for the text on
 * the text players, averaged over copies of the image with Gaussian noise (smoothing). The noise comes from
 * the run's seed. Not negative.
 */
export function llavaCam(given?: LlavaCamOptions): Explainer {
  const options = resolveOptions('llavaCam', DEFAULTS, given);
  const { samples, noise } = options;
  checkInteger('samples', samples, 1);
  checkNumber('noise', noise, { least: 0 });
  return {
    name: 'llava-cam',
    title: 'LLaVA-CAM',
    reference: 'Zhang et al. 2024, arXiv 2406.06579; smoothing of Smilkov et al. 2017, arXiv 1706.03825',
    needsTruth: false,
    async attribute({ sample, seed, signal }) {
      const chain = WhiteBoxChain.of(sample, 'llava-cam');
      const { whiteBox } = chain;
      const blocks = await chain.blockOutputs();
      const chosen = options.decoderLayer ?? defaultDecoderLayer(blocks.decoder.length);
      const layer = layerTensor('decoderLayer', chosen, blocks.decoder);
      const clean = chain.pixels();
      const spread = noise * range(clean);
      const normal = normalStream(new Random(seed));
      const image = new Float64Array(whiteBox.imagePositions.length);
      const text = new Float64Array(whiteBox.textPositions.length);
      for (let copy = 0; copy < samples; copy++) {
        const pixels = spread === 0 ? clean : clean.map((value) => value + spread * normal());
        const run = await chain.gradients({ pixels, decoderTensors: [layer], signal });
        const [features, gradient] = [floats(run.decoderValues[layer]), floats(run.decoderGradients[layer])];
        const add = (sums: Float64Array, rows: Int32Array) => {
          const map = activationMap(features, gradient, run.hidden, rows);
          for (const [i, value] of map.entries()) sums[i] = sums[i] + value / samples;
        };
        add(image, whiteBox.imagePositions);
        add(text, whiteBox.textPositions);
      }
      return { image: meanByPlayer(image, whiteBox.featurePlayers, sample.imagePlayers.count), text };
    },
  };
}

function range(values: Float32Array): number {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return high - low;
}
