import { FsynError } from '../../../errors.js';
import { EXPORTED } from '../../../onnx/exported.js';
import type { ModelDirectory } from '../../files/directory.js';
import { normalisationTable } from '../../images/normalise.js';
import { imageProcessorConfig, readNormalisation, readResampling } from '../../images/processor.js';
import { type Resampling, resizeImage } from '../../images/resample.js';
import { Fields, isObject } from '../../json.js';
import type { PromptStyle } from '../../text/prompt.js';
import type { RgbImage } from '../../types.js';
import { type Architecture, type ImageEncoding, runningPositions } from '../architecture.js';
import { cutTiles, encodeTiles, type TileGeometry } from './tiles.js';

const maskInput = 'pixel_attention_mask';
const half = [0.5, 0.5, 0.5];
/** The processor's bound on the longer side before it cuts tiles. */
const largestSide = 4096;

/**
 * Idefics3 and SmolVLM: the image is brought to a fixed longer side, cut into square tiles and followed by
 * the whole at the size of a tile; tiles are named in the prompt by row and column. Every tile gives a grid
 * of visual tokens, each of them a block of `scale_factor` x `scale_factor` patches (pixel shuffle).
 */
export class Idefics3 implements Architecture {
  readonly name: string;
  readonly pixelInput = EXPORTED.pixels;
  readonly extraInputs: readonly string[];
  readonly prompt: PromptStyle;
  readonly #geometry: TileGeometry;
  readonly #longest: number;
  readonly #split: boolean;
  readonly #resize: boolean;
  readonly #resampling: Resampling;

  /** @param visionInputs names of the vision graph's inputs; exports may leave the pixel mask out */
  constructor(directory: ModelDirectory, name: string, imageToken: string, visionInputs: readonly string[]) {
    this.name = name;
    const config = imageProcessorConfig(directory);
    const fields = new Fields(config, 'preprocessor_config.json');
    const side = fields.has('max_image_size')
      ? fields.object('max_image_size').positive('longest_edge')
      : 364;
    this.#longest = fields.has('size') ? fields.object('size').positive('longest_edge') : 4 * 364;
    this.#split = fields.boolean('do_image_splitting', true);
    this.#resize = fields.boolean('do_resize', true);
    this.#resampling = readResampling(fields, 'lanczos');
    const vision = new Fields(
      isObject(directory.config.vision_config) ? directory.config.vision_config : {},
      'config.json vision_config',
    );
    const patch = vision.positive('patch_size', 14);
    const cell = patch * new Fields(directory.config, 'config.json').positive('scale_factor', 2);
    if (side % cell !== 0) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Tiles of ${side} pixels do not divide into visual tokens of ${cell}.`,
      );
    }
    const table = normalisationTable(readNormalisation(fields, half, half));
    this.#geometry = { height: side, width: side, cell, patch, classToken: false, table };
    this.extraInputs = visionInputs.includes(maskInput) ? [maskInput] : [];
    this.prompt = {
      imagePlaceholder: imageToken,
      imageToken,
      userAnchor: 'User:',
      assistantAnchor: 'Assistant:',
    };
  }

  async encode(image: RgbImage, signal?: AbortSignal): Promise<ImageEncoding> {
    const original = [image.shape[0], image.shape[1]] as const;
    const side = this.#geometry.height;
    const { canvas, rows, columns } = await this.#canvas(image, signal);
    const split = rows * columns > 1;
    const tiles = cutTiles(canvas, rows, columns, original);
    // The processor shrinks the canvas, not the original, to the size of a tile.
    if (split)
      tiles.push(
        ...cutTiles(await resizeImage(canvas, side, side, this.#resampling, signal), 1, 1, original),
      );
    const mask = {
      values: new Int32Array(tiles.length * side * side).fill(1),
      shape: [1, tiles.length, side, side],
    };
    const encoded = encodeTiles(tiles, this.#geometry);
    return {
      ...encoded,
      pixelShape: [1, tiles.length, 3, side, side],
      extras: this.extraInputs.length === 0 ? {} : { [maskInput]: mask },
      promptText: this.#promptText(split ? rows : 0, columns, encoded.players.count / tiles.length),
    };
  }

  async #canvas(
    image: RgbImage,
    signal: AbortSignal | undefined,
  ): Promise<{ canvas: RgbImage; rows: number; columns: number }> {
    const side = this.#geometry.height;
    const [height, width] = image.shape as [number, number, number];
    const size = this.#resize ? longestSide(height, width, this.#longest) : ([height, width] as const);
    const resized = await resizeImage(image, size[0], size[1], this.#resampling, signal);
    if (!this.#split)
      return {
        canvas: await resizeImage(resized, side, side, this.#resampling, signal),
        rows: 1,
        columns: 1,
      };
    const [canvasHeight, canvasWidth] = wholeTiles(size[0], size[1], side);
    return {
      canvas: await resizeImage(resized, canvasHeight, canvasWidth, this.#resampling, signal),
      rows: canvasHeight / side,
      columns: canvasWidth / side,
    };
  }

  #promptText(rows: number, columns: number, perTile: number): string {
    const mark = '<fake_token_around_image>';
    const tokens = this.prompt.imageToken.repeat(perTile);
    const whole = `${mark}<global-img>${tokens}${mark}`;
    if (rows === 0) return whole;
    let text = '';
    for (let row = 1; row <= rows; row++) {
      for (let column = 1; column <= columns; column++) text += `${mark}<row_${row}_col_${column}>${tokens}`;
      text += '\n';
    }
    return `${text}\n${whole}`;
  }

  positions(ids: Int32Array): Int32Array {
    return runningPositions(ids);
  }
}

/**
 * Longer side to `longest`, the other to an even number of the same ratio; then below the processor's bound.
 */
export function longestSide(height: number, width: number, longest: number): [number, number] {
  const even = (value: number): number => Math.max(1, value % 2 === 0 ? value : value + 1);
  const ratio = width / height;
  const [rows, columns] =
    width >= height
      ? [even(Math.trunc(longest / ratio)), longest]
      : [longest, even(Math.trunc(longest * ratio))];
  const bound = largestSide;
  const scaled = columns / rows;
  if (columns >= rows && columns > bound) return [Math.max(1, Math.trunc(bound / scaled)), bound];
  if (rows > columns && rows > bound) return [bound, Math.max(1, Math.trunc(bound * scaled))];
  return [rows, columns];
}

/** The longer side rounded up to whole tiles, the other after it by the ratio, rounded up as well. */
export function wholeTiles(height: number, width: number, side: number): [number, number] {
  const up = (value: number): number => Math.ceil(value / side) * side;
  const ratio = width / height;
  if (width >= height) {
    const columns = up(width);
    return [up(Math.trunc(columns / ratio)), columns];
  }
  const rows = up(height);
  return [rows, up(Math.trunc(rows * ratio))];
}
