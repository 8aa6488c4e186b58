import ndarray from 'ndarray';
import { invalidArgument } from '../../errors.js';
import type { RgbImage } from '../types.js';

const passes = 3;

/**
 * Radius of the extended box filter whose threefold application has the variance of the Gaussian
 * (Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering", 2011, eq. 7, 11, 14).
 * Pillow computes it in single precision; so must we, to land on the same integer weights.
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

/** One box pass along the lines of [lines, length, 3]; edges repeat. `target` may be `source`. */
function boxPass(
  source: Uint8Array,
  target: Uint8Array,
  lines: number,
  length: number,
  radius: number,
): void {
  const whole = Math.trunc(radius);
  // 8.24 fixed point: weight of the whole pixels, and of the two fractional ones at the far ends.
  const weight = Math.trunc(Math.fround(2 ** 24 / Math.fround(Math.fround(radius * 2) + 1)));
  const farWeight = Math.trunc((2 ** 24 - (whole * 2 + 1) * weight) / 2);
  const line = new Uint8Array(length);
  const last = length - 1;
  for (let row = 0; row < lines; row++) {
    for (let c = 0; c < 3; c++) {
      const base = row * length * 3 + c;
      for (let x = 0; x < length; x++) line[x] = source[base + x * 3];
      let sum = line[0] * (whole + 1);
      for (let x = 0; x < whole; x++) sum += line[Math.min(x, last)];
      for (let x = 0; x < length; x++) {
        const left = Math.max(0, x - whole - 1);
        sum += line[Math.min(last, x + whole)] - line[left];
        const far = line[left] + line[Math.min(last, x + whole + 1)];
        target[base + x * 3] = (sum * weight + far * farWeight + 2 ** 23) >>> 24;
      }
    }
  }
}

function transpose(source: Uint8Array, rows: number, columns: number): Uint8Array {
  const target = new Uint8Array(source.length);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const from = (y * columns + x) * 3;
      const to = (x * rows + y) * 3;
      target[to] = source[from];
      target[to + 1] = source[from + 1];
      target[to + 2] = source[from + 2];
    }
  }
  return target;
}

/**
 * Blurs an image as Pillow's `ImageFilter.GaussianBlur(radius)` does, bit for bit: three extended box blurs per axis in
 * 8.24 fixed point, edges repeated.
 *
 * @param image [h, w, 3], values 0..255
 * @param radius standard deviation of the Gaussian in pixels, finite and >= 0; 0 copies
 * @returns a new image of the same shape
 */
export function gaussianBlur(image: RgbImage, radius: number): RgbImage {
  if (!Number.isFinite(radius) || radius < 0) throw invalidArgument('radius', 'a finite number >= 0', radius);
  const [height, width] = image.shape as [number, number, number];
  if (radius === 0) return ndarray(image.data.slice(), [height, width, 3]);
  const box = boxRadius(radius);
  const rows = new Uint8Array(image.data.length);
  boxPass(image.data, rows, height, width, box);
  for (let i = 1; i < passes; i++) boxPass(rows, rows, height, width, box);
  const columns = transpose(rows, height, width);
  for (let i = 0; i < passes; i++) boxPass(columns, columns, width, height, box);
  return ndarray(transpose(columns, width, height), [height, width, 3]);
}
