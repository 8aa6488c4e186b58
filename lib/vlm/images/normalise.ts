import { FsynError } from '../../errors.js';
import type { RgbImage } from '../types.js';

export interface Normalisation {
  /** Multiplier of the 8-bit value; 1 when the processor does not rescale. */
  readonly scale: number;
  /** Per channel, subtracted after scaling; absent when the processor does not normalise. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

/**
 * The 256 possible float32 results per channel: [3, 256].
 * @throws FsynError MODEL_CONTRACT where a pixel would not be finite, as with a std of 0
 *
 * Rounded at the same places as the Hugging Face NumPy code: scale in double, then single; mean and std in
 * single.
 */
export function normalisationTable(norm: Normalisation): Float32Array {
  const table = new Float32Array(3 * 256);
  const f = Math.fround;
  for (let c = 0; c < 3; c++) {
    for (let value = 0; value < 256; value++) {
      const scaled = f(value * norm.scale);
      const centred = norm.mean === undefined ? scaled : f(scaled - f(norm.mean[c]));
      table[c * 256 + value] = norm.std === undefined ? centred : f(centred / f(norm.std[c]));
    }
  }
  if (!table.every(Number.isFinite)) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected finite pixels after normalisation; the scale ${norm.scale} with mean [${norm.mean}] and std [${norm.std}] gives others.`,
    );
  }
  return table;
}

/** Writes an image [h, w, 3] as planes [3, h, w] through the table, from `offset` of `target`. */
export function writePlanes(image: RgbImage, table: Float32Array, target: Float32Array, offset = 0): void {
  const pixels = image.shape[0] * image.shape[1];
  for (let c = 0; c < 3; c++) {
    const plane = offset + c * pixels;
    for (let i = 0; i < pixels; i++) target[plane + i] = table[c * 256 + image.data[i * 3 + c]];
  }
}
