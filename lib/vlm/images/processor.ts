import ndarray from 'ndarray';
import { FsynError } from '../../errors.js';
import { Fields, isObject, type JsonObject } from '../json.js';
import type { RgbImage } from '../types.js';
import { checkExtent } from './limits.js';
import { type Normalisation, normalisationTable, writePlanes } from './normalise.js';
import { type Resampling, resizeImage } from './resample.js';

// CLIP's statistics, the defaults of the Hugging Face CLIP image processor.
const clipMean = [0.48145466, 0.4578275, 0.40821073];
const clipStd = [0.26862954, 0.26130258, 0.27577711];

/** Pillow's numbering of its filters, as `resample` stores it. */
const resamplings: readonly Resampling[] = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'];

type Size =
  | { readonly kind: 'exact'; readonly height: number; readonly width: number }
  | { readonly kind: 'shortest'; readonly edge: number; readonly longest: number | undefined };

/**
 * Where the pixels of a processed image lie in the original: original = (processed + offset) * scale, per
 * axis.
 */
export interface PixelFrame {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

/** Maps a box of processed pixels to pixels of the original image: [x0, y0, x1, y1]. */
export function toOriginal(frame: PixelFrame, box: readonly [number, number, number, number]): number[] {
  return [
    (box[0] + frame.offsetX) * frame.scaleX,
    (box[1] + frame.offsetY) * frame.scaleY,
    (box[2] + frame.offsetX) * frame.scaleX,
    (box[3] + frame.offsetY) * frame.scaleY,
  ];
}

export interface ProcessedImage {
  /** [3, height, width] planes. */
  readonly planes: Float32Array;
  /** The same before normalisation, 8 bit. */
  readonly view: RgbImage;
  readonly height: number;
  readonly width: number;
  readonly frame: PixelFrame;
}

/** Resampling filter of a configuration's `resample`, Pillow's number of it. */
export function readResampling(fields: Fields, fallback: Resampling): Resampling {
  const index = fields.integer('resample', resamplings.indexOf(fallback));
  const name = resamplings[index];
  if (name === undefined) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected 0..5 for resample in the image processor, found ${index}.`,
    );
  }
  return name;
}

/** Rescaling and normalisation of a configuration, with CLIP's statistics where it has none. */
export function readNormalisation(fields: Fields, mean = clipMean, std = clipStd): Normalisation {
  const scale = fields.boolean('do_rescale', true) ? fields.number('rescale_factor', 1 / 255) : 1;
  if (!fields.boolean('do_normalize', true)) return { scale };
  return {
    scale,
    mean: fields.numbers('image_mean', 3, mean),
    std: fields.numbers('image_std', 3, std),
  };
}

function readSize(fields: Fields, key: string): Size {
  const raw = fields.raw(key);
  if (typeof raw === 'number') return { kind: 'shortest', edge: fields.positive(key), longest: undefined };
  const size = fields.object(key);
  if (size.has('shortest_edge')) {
    return {
      kind: 'shortest',
      edge: size.positive('shortest_edge'),
      longest: size.has('longest_edge') ? size.positive('longest_edge') : undefined,
    };
  }
  return { kind: 'exact', height: size.positive('height'), width: size.positive('width') };
}

/**
 * Image preprocessing as `CLIPImageProcessor` does it (also SigLIP, ViT and LLaVA's, which share its fields):
 * convert to RGB, resize, centre crop, rescale, normalise - equal to the Python processor's PIL backend bit
 * for bit.
 */
export class ClipImageProcessor {
  /** Colour of the bars that make an image square before anything else. */
  readonly #background: readonly number[] | undefined;
  readonly #size: Size | undefined;
  readonly #crop: { readonly height: number; readonly width: number } | undefined;
  readonly #resampling: Resampling;
  readonly #table: Float32Array;

  /**
   * @param config the contents of preprocessor_config.json, or the `image_processor` part of
   *   processor_config.json
   * @param padsToSquare whether the family's own processor makes images square with `do_pad`, as LLaVA's does
   */
  constructor(config: JsonObject, padsToSquare = false) {
    const fields = new Fields(config, 'preprocessor_config.json');
    this.#background = readBackground(fields, padsToSquare);
    this.#size = fields.boolean('do_resize', true)
      ? fields.has('size')
        ? readSize(fields, 'size')
        : { kind: 'shortest', edge: 224, longest: undefined }
      : undefined;
    this.#crop = fields.boolean('do_center_crop', true) ? readCrop(fields) : undefined;
    this.#resampling = readResampling(fields, 'bicubic');
    this.#table = normalisationTable(readNormalisation(fields));
  }

  /**
   * Pixels before rescaling: resized and cropped, still 8 bit, with the frame that leads back to the
   * original.
   */
  async resizeAndCrop(
    image: RgbImage,
    signal?: AbortSignal,
  ): Promise<{ image: RgbImage; frame: PixelFrame }> {
    const square =
      this.#background === undefined ? { image, top: 0, left: 0 } : padToSquare(image, this.#background);
    const [height, width] = square.image.shape as [number, number, number];
    let current = square.image;
    if (this.#size !== undefined) {
      const [rows, columns] = targetSize(this.#size, height, width);
      current = await resizeImage(current, rows, columns, this.#resampling, signal);
    }
    const [rows, columns] = current.shape as [number, number, number];
    const [scaleX, scaleY] = [width / columns, height / rows];
    const frame = { scaleX, scaleY, offsetX: -square.left / scaleX, offsetY: -square.top / scaleY };
    if (this.#crop === undefined) return { image: current, frame };
    const cropped = centreCrop(current, this.#crop.height, this.#crop.width);
    const offsetX = frame.offsetX + cropped.left;
    return { image: cropped.image, frame: { ...frame, offsetX, offsetY: frame.offsetY + cropped.top } };
  }

  async process(image: RgbImage, signal?: AbortSignal): Promise<ProcessedImage> {
    const { image: cropped, frame } = await this.resizeAndCrop(image, signal);
    const [height, width] = cropped.shape as [number, number, number];
    const planes = new Float32Array(3 * height * width);
    writePlanes(cropped, this.#table, planes);
    return { planes, view: cropped, height, width, frame };
  }
}

/**
 * The colour that `do_pad` pads with, the mean as the Python processor rounds it; undefined where nothing is
 * padded.
 */
function readBackground(fields: Fields, padsToSquare: boolean): readonly number[] | undefined {
  if (!fields.boolean('do_pad', false)) return undefined;
  const type = fields.string('image_processor_type', padsToSquare ? 'LlavaImageProcessor' : '');
  if (type.startsWith('LlavaImageProcessor'))
    return fields.numbers('image_mean', 3, clipMean).map((mean) => Math.trunc(mean * 255));
  if (!fields.has('pad_size')) return undefined;
  // Other processors pad a batch to one size, which changes nothing for a single image unless the size is
  // given.
  throw new FsynError('UNSUPPORTED_MODEL', 'Image processors with do_pad and pad_size are not supported.');
}

/** Bars of one colour on both sides of the shorter axis; an odd pixel goes to the end. */
function padToSquare(
  image: RgbImage,
  colour: readonly number[],
): { image: RgbImage; top: number; left: number } {
  const [height, width] = image.shape as [number, number, number];
  if (height === width) return { image, top: 0, left: 0 };
  const side = Math.max(height, width);
  const top = Math.floor((side - height) / 2);
  const left = Math.floor((side - width) / 2);
  checkExtent(side, side);
  const data = new Uint8Array(side * side * 3);
  for (let i = 0; i < data.length; i += 3) data.set(colour, i);
  for (let y = 0; y < height; y++) {
    const row = image.data.subarray(y * width * 3, (y + 1) * width * 3);
    data.set(row, ((y + top) * side + left) * 3);
  }
  return { image: ndarray(data, [side, side, 3]), top, left };
}

function readCrop(fields: Fields): { height: number; width: number } {
  const raw = fields.raw('crop_size');
  if (raw === undefined || raw === null) return { height: 224, width: 224 };
  if (typeof raw === 'number') {
    const side = fields.positive('crop_size');
    return { height: side, width: side };
  }
  const crop = fields.object('crop_size');
  return { height: crop.positive('height'), width: crop.positive('width') };
}

function targetSize(size: Size, height: number, width: number): [number, number] {
  if (size.kind === 'exact') return [size.height, size.width];
  const short = Math.min(height, width);
  const long = Math.max(height, width);
  if (size.longest !== undefined) return boundedSize(size.edge, size.longest, height, width);
  const longEdge = Math.max(1, Math.trunc((size.edge * long) / short));
  return width <= height ? [longEdge, size.edge] : [size.edge, longEdge];
}

/** Shortest edge to `edge` unless the longest would exceed `longest`; rounding as the Python processor's. */
function boundedSize(edge: number, longest: number, height: number, width: number): [number, number] {
  const short = Math.min(height, width);
  const long = Math.max(height, width);
  let target = edge;
  let exact = edge;
  if ((long / short) * edge > longest) {
    exact = (longest * short) / long;
    target = roundHalfEven(exact);
  }
  if (short === target) return [height, width];
  if (width < height) return [Math.max(1, Math.trunc((exact * height) / width)), target];
  return [target, Math.max(1, Math.trunc((exact * width) / height))];
}

/** Python's round(): halves go to the even neighbour. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Cuts the middle out; where the image is smaller it is padded with zeros, as the Python processor pads. */
function centreCrop(
  image: RgbImage,
  height: number,
  width: number,
): { image: RgbImage; top: number; left: number } {
  const [rows, columns] = image.shape as [number, number, number];
  const top = cropStart(rows, height);
  const left = cropStart(columns, width);
  if (top === 0 && left === 0 && rows === height && columns === width) return { image, top, left };
  checkExtent(height, width);
  const data = new Uint8Array(height * width * 3);
  const firstColumn = Math.max(0, left);
  const endColumn = Math.min(columns, left + width);
  for (let y = Math.max(0, top); y < Math.min(rows, top + height); y++) {
    const from = (y * columns + firstColumn) * 3;
    const to = ((y - top) * width + firstColumn - left) * 3;
    data.set(image.data.subarray(from, from + (endColumn - firstColumn) * 3), to);
  }
  return { image: ndarray(data, [height, width, 3]), top, left };
}

/**
 * First source index of a centre crop along one axis, negative where the crop reaches beyond the image.
 * The Python code computes floor((size - crop) / 2) and, when it pads, adds the upper half of the difference
 * first: both give floor, which differs from truncation for odd negative differences.
 */
function cropStart(size: number, crop: number): number {
  return Math.floor((size - crop) / 2);
}

/**
 * The image processor's part of a model directory's configuration.
 *
 * @throws FsynError `MODEL_FILE` when neither file has it
 */
export function imageProcessorConfig({
  preprocessor,
  processor,
}: {
  readonly preprocessor: JsonObject | undefined;
  readonly processor: JsonObject | undefined;
}): JsonObject {
  const config = isObject(processor?.image_processor) ? processor.image_processor : preprocessor;
  if (config !== undefined) return config;
  throw new FsynError(
    'MODEL_FILE',
    'Expected preprocessor_config.json or processor_config.json with an image_processor.',
  );
}
