import { FsynError } from '../../../errors.js';
import { EXPORTED } from '../../../onnx/exported.js';
import type { ModelDirectory } from '../../files/directory.js';
import { normalisationTable } from '../../images/normalise.js';
import { imageProcessorConfig, readNormalisation, readResampling } from '../../images/processor.js';
import { type Resampling, resizeImage } from '../../images/resample.js';
import { Fields, isObject, type JsonObject } from '../../json.js';
import type { PromptStyle } from '../../text/prompt.js';
import type { RgbImage } from '../../types.js';
import { type Architecture, type ImageEncoding, runningPositions } from '../architecture.js';
import { chatmlAnchors } from './chatml.js';
import { cutTiles, encodeTiles, type TileGeometry } from './tiles.js';

/** Far beyond the published 12 to 40; the grids of so many tiles are all looked at. */
export const mostTiles = 1024;

/**
 * InternVL-3 and 3.5: the image is cut into square tiles, followed by a thumbnail of the whole when there are
 * several; every tile gives a grid of visual tokens, each of them a 2 x 2 block of patches (pixel shuffle).
 *
 * Image players are the cells of all tiles and of the thumbnail, in that order: a spot of a tiled image is
 * shown by two players, one of its tile and one of the thumbnail.
 */
export class InternVl implements Architecture {
  readonly name = 'internvl';
  readonly pixelInput = EXPORTED.pixels;
  readonly extraInputs: readonly string[] = [];
  readonly prompt: PromptStyle;
  readonly #geometry: TileGeometry;
  readonly #minTiles: number;
  readonly #maxTiles: number;
  readonly #resampling: Resampling;
  readonly #start: string;
  readonly #end: string;

  /** @param maxTiles overrides the configuration's largest number of tiles, thumbnail not counted */
  constructor(directory: ModelDirectory, imageToken: string, maxTiles: number | undefined) {
    const config = imageProcessorConfig(directory);
    const fields = new Fields(config, 'preprocessor_config.json');
    this.#minTiles = fields.positive('min_patches', 1);
    this.#maxTiles = maxTiles ?? fields.positive('max_patches', 12, mostTiles);
    if (this.#minTiles > this.#maxTiles) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Expected min_patches up to max_patches in preprocessor_config.json, but found ${this.#minTiles} and ${this.#maxTiles}.`,
      );
    }
    this.#resampling = readResampling(fields, 'bicubic');
    this.#geometry = readTiles(fields, directory.config);
    const token = (key: string, fallback: string): string => {
      const value = directory.tokenizerConfig[key];
      return typeof value === 'string' ? value : fallback;
    };
    this.#start = token('start_image_token', '<img>');
    this.#end = token('end_image_token', '</img>');
    this.prompt = {
      imagePlaceholder: imageToken,
      imageToken,
      ...chatmlAnchors,
    };
  }

  async encode(image: RgbImage, signal?: AbortSignal): Promise<ImageEncoding> {
    const [height, width] = image.shape as [number, number, number];
    const { height: tileHeight, width: tileWidth } = this.#geometry;
    const [columns, rows] = chooseTiles(height, width, tileHeight, tileWidth, this.#minTiles, this.#maxTiles);
    const canvas = await resizeImage(image, rows * tileHeight, columns * tileWidth, this.#resampling, signal);
    const tiles = cutTiles(canvas, rows, columns, [height, width]);
    if (tiles.length > 1) {
      const thumbnail = await resizeImage(image, tileHeight, tileWidth, this.#resampling, signal);
      tiles.push(...cutTiles(thumbnail, 1, 1, [height, width]));
    }
    const encoded = encodeTiles(tiles, this.#geometry);
    return {
      ...encoded,
      pixelShape: [tiles.length, 3, tileHeight, tileWidth],
      extras: {},
      promptText: this.#start + this.prompt.imageToken.repeat(encoded.players.count) + this.#end,
    };
  }

  positions(ids: Int32Array): Int32Array {
    return runningPositions(ids);
  }
}

function readTiles(fields: Fields, config: JsonObject): TileGeometry {
  const size = fields.object('size');
  const height = size.positive('height');
  const width = size.positive('width');
  const vision = isObject(config.vision_config) ? config.vision_config : {};
  const sides = vision.patch_size;
  const patch = new Fields(
    { patch_size: Array.isArray(sides) ? sides[0] : sides },
    'config.json vision_config',
  ).positive('patch_size', 14);
  const cell = patch / new Fields(config, 'config.json').number('downsample_ratio', 0.5);
  if (!Number.isInteger(cell) || height % cell !== 0 || width % cell !== 0) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Tiles of ${width} x ${height} pixels do not divide into visual tokens of ${cell} pixels.`,
    );
  }
  return {
    height,
    width,
    cell,
    patch,
    classToken: true,
    table: normalisationTable(readNormalisation(fields)),
  };
}

/**
 * The grid of tiles whose aspect ratio is nearest to the image's. Among equals a larger grid wins as long as
 * the image has more than half of its area; grids are tried by number of tiles, then by columns, as the
 * Python processor sorts them.
 *
 * @returns [columns, rows]
 */
export function chooseTiles(
  height: number,
  width: number,
  tileHeight: number,
  tileWidth: number,
  minTiles: number,
  maxTiles: number,
): [number, number] {
  const grids: [number, number][] = [];
  for (let columns = 1; columns <= maxTiles; columns++) {
    for (let rows = 1; rows <= maxTiles; rows++) {
      if (columns * rows <= maxTiles && columns * rows >= minTiles) grids.push([columns, rows]);
    }
  }
  grids.sort((a, b) => a[0] * a[1] - b[0] * b[1]);
  let best: [number, number] = [1, 1];
  let bestDifference = Number.POSITIVE_INFINITY;
  for (const grid of grids) {
    const difference = Math.abs(width / height - grid[0] / grid[1]);
    const enough = width * height > 0.5 * tileHeight * tileWidth * grid[0] * grid[1];
    if (difference < bestDifference || (difference === bestDifference && enough)) {
      bestDifference = difference;
      best = grid;
    }
  }
  return best;
}
