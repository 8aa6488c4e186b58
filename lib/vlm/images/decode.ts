import ndarray from 'ndarray';
import type { Sharp } from 'sharp';
import { checkInteger } from '../../checks.js';
import { describe, FsynError, invalidArgument, reasonOf } from '../../errors.js';
import { resolveOptions } from '../../options.js';
import { isLfsPointer, lfsError, readRegularFile } from '../../text-file.js';
import type { RgbImage } from '../types.js';
import { decodeBmp } from './bmp.js';
import { formatNames, imageFormat } from './formats.js';
import { loadSharp } from './sharp.js';

export interface DecodeOptions {
  /** Most pixels of an image; a small file can claim billions. Default: 268 402 689, as sharp has it. */
  readonly limitInputPixels: number;
  readonly signal: AbortSignal | undefined;
}

const defaults: DecodeOptions = { limitInputPixels: 0x3fff * 0x3fff, signal: undefined };
/** Bytes of an image file that are read at most. */
const largestFile = 2 ** 30;
/** Seconds that decoding may take: a picture at the limit of pixels takes about ten. */
const longest = 60;

/**
 * Decodes a JPEG, PNG, GIF, WebP, TIFF, AVIF or BMP file to RGB. SVG is refused: drawing a few bytes of it
 * may take hours. EXIF orientation is applied; alpha is dropped and colour profiles are ignored, as
 * `Image.open(...).convert('RGB')` of Pillow does, which is followed too in CMYK (multiplied out, no profile)
 * and in 16-bit grey (clipped at 255, not scaled).
 *
 * @param source path of a file, or its bytes
 * @returns [height, width, 3], values 0..255
 * @throws FsynError IMAGE when the source is missing, damaged, too large or not an image; INVALID_ARGUMENT
 */
export async function decodeImage(
  source: string | Uint8Array,
  given?: Partial<DecodeOptions>,
): Promise<RgbImage> {
  const { limitInputPixels, signal } = resolveOptions('decodeImage', defaults, given);
  checkInteger('limitInputPixels', limitInputPixels, 1);
  signal?.throwIfAborted();
  const isPath = typeof source === 'string';
  if (!isPath && !(source instanceof Uint8Array)) throw invalidArgument('source', 'a path or bytes', source);
  const label = isPath ? JSON.stringify(source) : describe(source);
  const bytes = isPath
    ? await readRegularFile(source, { code: 'IMAGE', what: 'the image' }, largestFile)
    : source;
  if (isLfsPointer(bytes)) throw lfsError(`the image ${label}`, 'IMAGE');
  try {
    const format = imageFormat(bytes);
    if (format === undefined) throw new Error(`expected ${formatNames}`);
    const image =
      format === 'bmp' ? decodeBmp(bytes, limitInputPixels) : await decode(bytes, limitInputPixels);
    signal?.throwIfAborted();
    return image;
  } catch (cause) {
    signal?.throwIfAborted();
    throw new FsynError('IMAGE', `Cannot read an image from ${label}: ${reasonOf(cause)}.`, { cause });
  }
}

async function decode(bytes: Uint8Array, limitInputPixels: number): Promise<RgbImage> {
  // `failOn: truncated` rejects damaged files; warnings about metadata do not concern the pixels.
  const sharp = await loadSharp();
  const input = sharp(bytes, { failOn: 'truncated', ignoreIcc: true, limitInputPixels });
  const { space, depth, width, height } = await input.metadata();
  if (width * height > limitInputPixels)
    throw new Error(`its ${width} x ${height} pixels exceed the limit of ${limitInputPixels}`);
  const upright = input.timeout({ seconds: longest }).autoOrient();
  if (space === 'cmyk') return fromCmyk(upright);
  if (space === 'grey16' && depth === 'ushort') {
    const grey = await fromGrey16(upright);
    if (grey !== undefined) return grey;
  }
  const { data, info } = await upright
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels === 3) return ndarray(bytesOf(data), [info.height, info.width, 3]);
  if (info.channels === 1) return ndarray(repeatChannel(bytesOf(data)), [info.height, info.width, 3]);
  throw new Error(`decoded to ${info.channels} channels`);
}

/**
 * Ink to light as Pillow has it: (255 - K)(255 - C) / 255. A JPEG's channels, stored inverted, are ink here
 * in both libraries.
 */
async function fromCmyk(image: Sharp): Promise<RgbImage> {
  const { data, info } = await image
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels < 4) throw new Error(`decoded to ${info.channels} channels of CMYK`);
  const count = info.width * info.height;
  const rgb = new Uint8Array(count * 3);
  for (let i = 0; i < count; i++) {
    const light = 255 - data[i * info.channels + 3];
    for (let channel = 0; channel < 3; channel++) {
      const product = light * data[i * info.channels + channel] + 128;
      rgb[i * 3 + channel] = light - ((product + (product >> 8)) >> 8);
    }
  }
  return ndarray(rgb, [info.height, info.width, 3]);
}

/** Grey of 16 bits without alpha; undefined with it, because Pillow then takes the high bytes. */
async function fromGrey16(image: Sharp): Promise<RgbImage | undefined> {
  const { data, info } = await image
    .clone()
    .pipelineColourspace('grey16')
    .toColourspace('grey16')
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 1) return undefined;
  const grey = new Uint8Array(info.width * info.height);
  for (let i = 0; i < grey.length; i++) grey[i] = data[i * 2 + 1] === 0 ? data[i * 2] : 255;
  return ndarray(repeatChannel(grey), [info.height, info.width, 3]);
}

function bytesOf(data: Buffer): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function repeatChannel(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(grey.length * 3);
  for (let i = 0; i < grey.length; i++) rgb.fill(grey[i], i * 3, i * 3 + 3);
  return rgb;
}

/**
 * Throws unless the value is an image of the contract: an ndarray over a Uint8Array of shape [h, w, 3],
 * row-major.
 */
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
