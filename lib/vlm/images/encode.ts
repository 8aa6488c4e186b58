import type { RgbImage } from '../types.js';
import { loadSharp } from './sharp.js';

/** Encodes an image as PNG; the pixels survive exactly. */
export async function encodePng(image: RgbImage): Promise<Buffer> {
  const [height, width] = image.shape as [number, number, number];
  const sharp = await loadSharp();
  return sharp(image.data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 9 })
    .toBuffer();
}
