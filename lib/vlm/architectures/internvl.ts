import ndarray from 'ndarray';
import { FsynError } from '../../errors.js';
import { type Architecture, type ImageEncoding, runningPositions } from '../architecture.js';
import { normalisationTable, writePlanes } from '../images/normalise.js';
import { imageProcessorConfig, readNormalisation, readResampling } from '../images/processor.js';
import { type Resampling, resizeImage } from '../images/resample.js';
import { Fields, isObject } from '../json.js';
import type { ModelDirectory } from '../models/directory.js';
import type { PromptStyle } from '../text/prompt.js';
import type { RgbImage } from '../types.js';
import { chatmlAnchors } from './chatml.js';
import { gridBoxes, patchPlayers } from './grid.js';

/**
 * InternVL-3 and 3.5: the image is cut into square tiles, followed by a thumbnail of the whole when there are several;
 * every tile gives a grid of visual tokens, each of them a 2 x 2 block of patches (pixel shuffle).
 *
 * Image players are the cells of all tiles and of the thumbnail, in that order: a spot of a tiled image is shown by two
 * players, one of its tile and one of the thumbnail.
 */
export class InternVl implements Architecture {
  readonly name = 'internvl';
  readonly pixelInput = 'pixel_values';
  readonly extraInputs: readonly string[] = [];
  readonly prompt: PromptStyle;
  readonly #height: number;
  readonly #width: number;
  readonly #cell: number;
  readonly #patch: number;
  readonly #minTiles: number;
  readonly #maxTiles: number;
  readonly #resampling: Resampling;
  readonly #table: Float32Array;

  /** @param maxTiles overrides the configuration's largest number of tiles, thumbnail not counted */
  constructor(directory: ModelDirectory, imageToken: string, maxTiles: number | undefined) {
    const config = imageProcessorConfig(directory.preprocessor, directory.processor);
    if (config === undefined) {
      throw new FsynError(
        'MODEL_FILE',
        'Expected preprocessor_config.json or processor_config.json with an image_processor.',
      );
    }
    const fields = new Fields(config, 'preprocessor_config.json');
    const size = fields.object('size');
    this.#height = size.positive('height');
    this.#width = size.positive('width');
    this.#minTiles = fields.positive('min_patches', 1);
    this.#maxTiles = maxTiles ?? fields.positive('max_patches', 12);
    this.#resampling = readResampling(fields, 'bicubic');
    this.#table = normalisationTable(readNormalisation(fields));
    const model = directory.config;
    const vision = isObject(model.vision_config) ? model.vision_config : {};
    const patch = Array.isArray(vision.patch_size) ? vision.patch_size[0] : (vision.patch_size ?? 14);
    const ratio = new Fields(model, 'config.json').number('downsample_ratio', 0.5);
    this.#patch = Number(patch);
    this.#cell = this.#patch / ratio;
    if (this.#height % this.#cell !== 0 || this.#width % this.#cell !== 0) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Tiles of ${this.#width} x ${this.#height} pixels do not divide into visual tokens of ${this.#cell} pixels.`,
      );
    }
    const token = (key: string, fallback: string): string => {
      const value = directory.tokenizerConfig[key];
      return typeof value === 'string' ? value : fallback;
    };
    const start = token('start_image_token', '<img>');
    const end = token('end_image_token', '</img>');
    this.prompt = {
      imagePlaceholder: imageToken,
      imageToken,
      expandImage: (features) => `${start}${imageToken.repeat(features)}${end}`,
      ...chatmlAnchors,
    };
  }

  encode(image: RgbImage): ImageEncoding {
    const [height, width] = image.shape as [number, number, number];
    const [tileColumns, tileRows] = chooseTiles(
      height,
      width,
      this.#height,
      this.#width,
      this.#minTiles,
      this.#maxTiles,
    );
    const canvas = resizeImage(image, tileRows * this.#height, tileColumns * this.#width, this.#resampling);
    const tiles = cutTiles(canvas, tileRows, tileColumns);
    const scaleX = width / (tileColumns * this.#width);
    const scaleY = height / (tileRows * this.#height);
    const frames = tiles.map((_, i) => ({
      scaleX,
      scaleY,
      offsetX: (i % tileColumns) * this.#width,
      offsetY: Math.floor(i / tileColumns) * this.#height,
    }));
    if (tiles.length > 1) {
      tiles.push(resizeImage(image, this.#height, this.#width, this.#resampling));
      frames.push({ scaleX: width / this.#width, scaleY: height / this.#height, offsetX: 0, offsetY: 0 });
    }
    return this.#assemble(tiles, frames);
  }

  #assemble(
    tiles: readonly RgbImage[],
    frames: readonly { scaleX: number; scaleY: number; offsetX: number; offsetY: number }[],
  ): ImageEncoding {
    const rows = this.#height / this.#cell;
    const columns = this.#width / this.#cell;
    const perTile = rows * columns;
    const size = 3 * this.#height * this.#width;
    const pixels = new Float32Array(tiles.length * size);
    const pixelPlayers = new Int32Array(pixels.length);
    const boxes = new Float64Array(tiles.length * perTile * 4);
    const tokens: number[] = [];
    const patches = patchPlayers(this.#height, this.#width, this.#patch).subarray(
      0,
      this.#height * this.#width,
    );
    const perPatch = this.#firstPixels(patches);
    for (const [t, tile] of tiles.entries()) {
      writePlanes(tile, this.#table, pixels, t * size);
      const players = patchPlayers(this.#height, this.#width, this.#cell, t * perTile);
      pixelPlayers.set(players, t * size);
      boxes.set(gridBoxes(rows, columns, this.#cell, frames[t]), t * perTile * 4);
      tokens.push(-1, ...perPatch.map((pixel) => players[pixel]));
    }
    const count = tiles.length * perTile;
    return {
      pixels,
      pixelShape: [tiles.length, 3, this.#height, this.#width],
      extras: {},
      players: { count, rows, columns, tiles: tiles.length, boxes },
      pixelPlayers,
      featurePlayers: Int32Array.from({ length: count }, (_, i) => i),
      visionTokenPlayers: Int32Array.from(tokens),
    };
  }

  /** One pixel of every patch, patches row-major: the tower's tokens of a tile after its class token. */
  #firstPixels(patches: Int32Array): number[] {
    const first: number[] = [];
    for (let i = 0; i < patches.length; i++) if (patches[i] === first.length) first.push(i);
    return first;
  }

  positions(ids: Int32Array): Int32Array {
    return runningPositions(ids);
  }
}

/**
 * The grid of tiles whose aspect ratio is nearest to the image's. Among equals a larger grid wins as long as the image has
 * more than half of its area; grids are tried by number of tiles, then by columns, as the Python processor sorts them.
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

/** Tiles of the canvas, row-major. */
function cutTiles(canvas: RgbImage, rows: number, columns: number): RgbImage[] {
  const height = canvas.shape[0] / rows;
  const width = canvas.shape[1] / columns;
  return Array.from({ length: rows * columns }, (_, i) => {
    const top = Math.floor(i / columns) * height;
    const left = (i % columns) * width;
    const data = new Uint8Array(height * width * 3);
    for (let y = 0; y < height; y++) {
      const from = ((top + y) * canvas.shape[1] + left) * 3;
      data.set(canvas.data.subarray(from, from + width * 3), y * width * 3);
    }
    return ndarray(data, [height, width, 3]);
  });
}
