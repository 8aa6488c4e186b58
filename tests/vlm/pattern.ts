import ndarray from 'ndarray';
import type { RgbImage } from '../../lib/vlm/types.js';

/** The texture of tests/oracles/vlm_pixels.py: [height, width, 3]. */
export function pattern(height: number, width: number): RgbImage {
  const data = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        const texture = (x * 7 + y * 13 + c * 31) ^ (x * y);
        const ramp = Math.floor((x * 255) / width) + Math.floor((y * 255) / height) + c * 40;
        const even = ((x >> 3) + (y >> 3)) % 2 === 0;
        data[(y * width + x) * 3 + c] = (even ? texture : ramp) & 255;
      }
    }
  }
  return ndarray(data, [height, width, 3]);
}
