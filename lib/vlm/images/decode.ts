import ndarray from 'ndarray';
import { describe, FsynError, reasonOf } from '../../errors.js';
import type { RgbImage } from '../types.js';
import { loadSharp } from './sharp.js';

/**
 * Decodes an image file of any format that sharp reads to RGB.
 * EXIF orientation is applied; alpha is dropped and colour profiles are ignored, as `Image.open(...).convert('RGB')` does.
 *
 * @param source path of a file, or its bytes
 * @returns [height, width, 3], values 0..255
 * @throws FsynError IMAGE when the source is missing, damaged or not an image
 */
export async function decodeImage(source: string | Uint8Array): Promise<RgbImage> {
  const sharp = await loadSharp();
  const label = typeof source === 'string' ? JSON.stringify(source) : describe(source);
  try {
    // `failOn: truncated` rejects damaged files; warnings about metadata do not concern the pixels.
    const { data, info } = await sharp(source, {
      failOn: 'truncated',
      ignoreIcc: true,
      limitInputPixels: 2 ** 30,
    })
      .autoOrient()
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (info.channels === 3) return ndarray(pixels, [info.height, info.width, 3]);
    if (info.channels === 1) return ndarray(repeatChannel(pixels), [info.height, info.width, 3]);
    throw new Error(`decoded to ${info.channels} channels`);
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new FsynError('IMAGE', `Cannot read an image from ${label}: ${reason}.`, { cause });
  }
}

function repeatChannel(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(grey.length * 3);
  for (let i = 0; i < grey.length; i++) rgb.fill(grey[i], i * 3, i * 3 + 3);
  return rgb;
}

/** Throws unless the value is an image of the contract: an ndarray over a Uint8Array of shape [h, w, 3], row-major. */
export function checkImage(image: RgbImage): void {
  const shape: unknown = image?.shape;
  const fits =
    Array.isArray(shape) &&
    shape.length === 3 &&
    shape[0] >= 1 &&
    shape[1] >= 1 &&
    shape[2] === 3 &&
    image.data instanceof Uint8Array;
  if (!fits) {
    throw new FsynError(
      'IMAGE',
      `Expected an ndarray of Uint8Array with shape [height, width, 3] for image but received ${
        Array.isArray(shape) ? `shape [${shape.join(', ')}]` : describe(image)
      }.`,
    );
  }
  const [height, width] = image.shape as [number, number, number];
  const contiguous = image.stride[0] === width * 3 && image.stride[1] === 3 && image.stride[2] === 1;
  if (!contiguous || image.offset !== 0 || image.data.length !== height * width * 3) {
    throw new FsynError('IMAGE', 'Expected a contiguous row-major image starting at offset 0 for image.');
  }
}
