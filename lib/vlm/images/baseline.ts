import ndarray from 'ndarray';
import { invalidArgument } from '../../errors.js';
import { Random } from '../../statistics/random.js';
import type { BaselineKind, RgbImage } from '../types.js';
import { gaussianBlur } from './blur.js';

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
 * The image that absent players are taken from, at the original's resolution; it then runs through the same preprocessing.
 *
 * `blur` is Pillow's Gaussian blur, `mean` the image's own mean colour everywhere, `noise` independent uniform bytes.
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
      if (!Number.isFinite(blurRadius) || blurRadius <= 0) {
        throw invalidArgument('blurRadius', 'a finite number > 0', blurRadius);
      }
      if (blurUnit !== 'pixels' && blurUnit !== 'relative') {
        throw invalidArgument('blurUnit', '"pixels" or "relative"', blurUnit);
      }
      const [height, width] = image.shape as [number, number, number];
      const longer = Math.max(height, width);
      return gaussianBlur(image, blurUnit === 'pixels' ? blurRadius : blurRadius * longer, signal);
    }
    case 'mean':
      return meanColour(image);
    case 'noise':
      return noise(image, options.noiseSeed);
    default:
      throw invalidArgument('baseline', '"blur", "mean" or "noise"', options.baseline);
  }
}

function meanColour(image: RgbImage): RgbImage {
  const sums = [0, 0, 0];
  const { data } = image;
  for (let i = 0; i < data.length; i++) sums[i % 3] += data[i];
  const colour = sums.map((sum) => Math.round(sum / (data.length / 3)));
  const target = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) target[i] = colour[i % 3];
  return ndarray(target, [...image.shape]);
}

function noise(image: RgbImage, seed: number): RgbImage {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw invalidArgument('noiseSeed', 'a safe integer >= 0', seed);
  const target = new Uint8Array(image.data.length);
  const random = new Random(seed);
  for (let i = 0; i < target.length; i++) target[i] = random.bits() >>> 24;
  return ndarray(target, [...image.shape]);
}
