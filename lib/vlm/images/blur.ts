import ndarray from 'ndarray';
import { checkNumber } from '../../checks.js';
import type { RgbImage } from '../types.js';
import { runBlur } from './native.js';

const passes = 3;

/**
 * Radius of the extended box filter whose threefold application has the variance of the Gaussian
 * (Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering", 2011, eq. 7,
 * 11, 14). Pillow computes it in single precision; so must we, to land on the same integer weights.
 */
function boxRadius(radius: number): number {
  const f = Math.fround;
  const variance = f(f(f(radius) * f(radius)) / passes);
  const length = f(Math.sqrt(12 * variance + 1));
  const whole = f(Math.floor((length - 1) / 2));
  const numerator = f(f(2 * whole + 1) * f(f(whole * f(whole + 1)) - f(3 * variance)));
  const denominator = f(6 * f(variance - f(f(whole + 1) * f(whole + 1))));
  return f(whole + f(numerator / denominator));
}

/**
 * Blurs an image as Pillow's `ImageFilter.GaussianBlur(radius)` does, bit for bit: three extended box blurs
 * per axis in 8.24 fixed point, edges repeated. Runs on native threads.
 *
 * @param image [h, w, 3], values 0..255
 * @param radius standard deviation of the Gaussian in pixels, finite and >= 0; 0 copies
 * @returns a new image of the same shape
 */
export async function gaussianBlur(image: RgbImage, radius: number, signal?: AbortSignal): Promise<RgbImage> {
  checkNumber('radius', radius, { least: 0 });
  const [height, width] = image.shape as [number, number, number];
  if (radius === 0) return ndarray(image.data.slice(), [height, width, 3]);
  const box = boxRadius(radius);
  const whole = Math.trunc(box);
  // 8.24 fixed point: weight of the whole pixels, and of the two fractional ones at the far ends.
  const weight = Math.trunc(Math.fround(2 ** 24 / Math.fround(Math.fround(box * 2) + 1)));
  const farWeight = Math.trunc((2 ** 24 - (whole * 2 + 1) * weight) / 2);
  const request = { source: image.data, height, width, whole, weight, farWeight, passes };
  return ndarray(await runBlur(request, signal), [height, width, 3]);
}
