import ndarray from 'ndarray';
import { checkInteger, checkNumber, checkOneOf } from '../../checks.js';
import { invalidArgument } from '../../errors.js';
import { Random } from '../../statistics/random.js';
import type { BaselineKind, RgbImage } from '../types.js';
import { gaussianBlur } from './blur.js';
import { runMean, runNoise } from './native.js';

export interface BaselineOptions {
  readonly baseline: BaselineKind;
  /** Gaussian radius in the unit of `blurUnit`, > 0. */
  readonly blurRadius: number;
  readonly blurUnit: 'pixels' | 'relative';
  /** Seed of the noise baseline, an integer >= 0. */
  readonly noiseSeed: number;
}

/** The paper's 30 pixels on a 640-pixel image, kept proportional to the image. */
export const defaultBlurRadius = 30 / 640;

/**
 * The image that absent players are taken from, at the original's resolution; it then runs through the same
 * preprocessing.
 *
 * `blur` is Pillow's Gaussian blur, `mean` the image's own mean colour everywhere, `noise` independent
 * uniform bytes.
 *
 * All three run on native threads.
 *
 * @param image [h, w, 3]
 * @returns [h, w, 3]
 */
export async function baselineImage(
  image: RgbImage,
  options: BaselineOptions,
  signal?: AbortSignal,
): Promise<RgbImage> {
  switch (options.baseline) {
    case 'blur': {
      const { blurRadius, blurUnit } = options;
      checkNumber('blurRadius', blurRadius, { above: 0 });
      checkOneOf('blurUnit', blurUnit, ['pixels', 'relative']);
      const [height, width] = image.shape as [number, number, number];
      const longer = Math.max(height, width);
      return gaussianBlur(image, blurUnit === 'pixels' ? blurRadius : blurRadius * longer, signal);
    }
    case 'mean':
      return meanColour(image, signal);
    case 'noise':
      return noise(image, options.noiseSeed, signal);
    default:
      throw invalidArgument('baseline', '"blur", "mean" or "noise"', options.baseline);
  }
}

async function meanColour(image: RgbImage, signal: AbortSignal | undefined): Promise<RgbImage> {
  return ndarray(await runMean(image.data, signal), [...image.shape]);
}

async function noise(image: RgbImage, seed: number, signal: AbortSignal | undefined): Promise<RgbImage> {
  checkInteger('noiseSeed', seed, 0);
  const [height, width] = image.shape as [number, number, number];
  const request = { state: new Random(seed).state(), height, width };
  return ndarray(await runNoise(request, signal), [height, width, 3]);
}
