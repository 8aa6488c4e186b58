import ndarray from 'ndarray';
import type { RgbImage } from '../../lib/vlm/types.js';

/** Bytes [height, width, 3] as an image. */
export function rgb(data: Uint8Array, height: number, width: number): RgbImage {
  return ndarray(new Uint8Array(data), [height, width, 3]);
}
