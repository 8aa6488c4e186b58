import { FsynError } from '../../../errors.js';
import { EXPORTED } from '../../../onnx/exported.js';
import type { ModelDirectory } from '../../files/directory.js';
import { gridBoxes } from '../../images/grid.js';
import { checkExtent } from '../../images/limits.js';
import { runPatches } from '../../images/native.js';
import { normalisationTable } from '../../images/normalise.js';
import {
  imageProcessorConfig,
  readNormalisation,
  readResampling,
  roundHalfEven,
} from '../../images/processor.js';
import { type Resampling, resizeImage } from '../../images/resample.js';
import { Fields, isObject, type JsonObject } from '../../json.js';
import type { PromptStyle } from '../../text/prompt.js';
import type { RgbImage } from '../../types.js';
import type { Architecture, ImageEncoding } from '../architecture.js';
import { chatmlAnchors } from './chatml.js';

interface Geometry {
  readonly patch: number;
  readonly merge: number;
  readonly temporal: number;
  readonly minPixels: number;
  readonly maxPixels: number;
}

/**
 * The vision graph's input that takes the patch grid: Qwen2-VL exports and Qwen2.5-VL exports name it
 * differently.
 */
const gridInputs = ['image_grid_thw', 'grid_thw'];

/**
 * Qwen2-VL and Qwen2.5-VL: images of any size, cut into patches that are merged `merge` x `merge` into one
 * visual token.
 *
 * The pixel input is [patches, channels * temporal * patch * patch] with the patches of one merged token next
 * to each other, so an image player is a run of merge^2 rows. Positions are M-RoPE: [time, height, width].
 */
export class QwenVl implements Architecture {
  readonly name: string;
  readonly pixelInput = EXPORTED.pixels;
  readonly extraInputs: readonly string[];
  readonly prompt: PromptStyle;
  readonly #geometry: Geometry;
  readonly #resize: boolean;
  readonly #resampling: Resampling;
  readonly #table: Float32Array;
  /** Side of an attention window in visual tokens; undefined where every layer attends to the whole image. */
  readonly #window: number | undefined;

  /**
   * @param visionInputs names of the vision graph's inputs
   * @param maxPixels overrides the configuration's upper bound on the resized image
   */
  constructor(
    directory: ModelDirectory,
    name: string,
    imageToken: string,
    visionInputs: readonly string[],
    maxPixels: number | undefined,
  ) {
    this.name = name;
    const config = imageProcessorConfig(directory);
    const fields = new Fields(config, 'preprocessor_config.json');
    this.#geometry = readGeometry(fields, maxPixels);
    this.#resize = fields.boolean('do_resize', true);
    this.#resampling = readResampling(fields, 'bicubic');
    this.#table = normalisationTable(readNormalisation(fields));
    this.#window = readWindow(directory.config, name, this.#geometry);
    this.extraInputs = gridInputs.filter((input) => visionInputs.includes(input)).slice(0, 1);
    if (this.extraInputs.length === 0) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Expected an input ${gridInputs.join(' or ')} in the vision encoder; it has: ${visionInputs.join(', ')}.`,
      );
    }
    this.prompt = {
      imagePlaceholder: imageToken,
      imageToken,
      ...chatmlAnchors,
    };
  }

  async encode(image: RgbImage, signal?: AbortSignal): Promise<ImageEncoding> {
    const [height, width] = image.shape as [number, number, number];
    const { patch, merge } = this.#geometry;
    const cell = patch * merge;
    const [rows, columns] = this.#resize
      ? smartResize(height, width, cell, this.#geometry.minPixels, this.#geometry.maxPixels)
      : [height, width];
    if (rows % cell !== 0 || columns % cell !== 0) {
      throw new FsynError(
        'IMAGE',
        `Without do_resize the image must be a multiple of ${cell} pixels in both directions; it has ${width} x ${height}.`,
      );
    }
    checkExtent(rows, columns, this.#geometry.temporal);
    const resized = await resizeImage(image, rows, columns, this.#resampling, signal);
    const grid = { rows: rows / cell, columns: columns / cell };
    const count = grid.rows * grid.columns;
    const pixels = await patchify(resized, this.#table, this.#geometry, signal);
    const rowSize = pixels.length / (count * merge * merge);
    const pixelPlayers = new Int32Array(pixels.length);
    for (let i = 0; i < count; i++) {
      pixelPlayers.fill(i, i * merge * merge * rowSize, (i + 1) * merge * merge * rowSize);
    }
    const frame = { scaleX: width / columns, scaleY: height / rows, offsetX: 0, offsetY: 0 };
    const order = windowOrder(grid.rows, grid.columns, this.#window);
    return {
      pixels,
      views: [resized],
      pixelShape: [count * merge * merge, rowSize],
      extras: {
        [this.extraInputs[0]]: { values: Int32Array.of(1, rows / patch, columns / patch), shape: [1, 3] },
      },
      players: { count, ...grid, tiles: 1, boxes: gridBoxes(grid.rows, grid.columns, cell, frame) },
      pixelPlayers,
      featurePlayers: Int32Array.from({ length: count }, (_, i) => i),
      visionTokenPlayers: Int32Array.from(
        { length: count * merge * merge },
        (_, i) => order[Math.floor(i / (merge * merge))],
      ),
      promptText: this.prompt.imageToken.repeat(count),
    };
  }

  /**
   * M-RoPE as the Hugging Face `get_rope_index` gives it on full input: text counts all three axes up
   * together; an image at offset o takes o, o + row, o + column, and the text after it goes on at o +
   * max(rows, columns).
   */
  positions(ids: Int32Array, imagePositions: Int32Array, encoding: ImageEncoding): Int32Array {
    const { rows, columns, count } = encoding.players;
    const length = ids.length;
    const positions = new Int32Array(3 * length);
    const first = imagePositions[0];
    for (let i = 0; i < length; i++) {
      const cell = i - first;
      const inside = cell >= 0 && cell < count;
      const text = cell >= count ? i - count + Math.max(rows, columns) : i;
      positions[i] = inside ? first : text;
      positions[length + i] = inside ? first + Math.floor(cell / columns) : text;
      positions[2 * length + i] = inside ? first + (cell % columns) : text;
    }
    return positions;
  }
}

function readGeometry(fields: Fields, override: number | undefined): Geometry {
  const size = isObject(fields.raw('size')) ? fields.object('size') : undefined;
  // Older files repeat the bounds as `size: {min_pixels, max_pixels}`, some have them nowhere else.
  const bound = (key: string, sizeKey: string, fallback: number): number => {
    if (fields.has(key)) return fields.positive(key);
    if (size === undefined) return fallback;
    return size.has(sizeKey) ? size.positive(sizeKey) : size.positive(key, fallback);
  };
  return {
    patch: fields.positive('patch_size', 14),
    merge: fields.positive('merge_size', 2),
    temporal: fields.positive('temporal_patch_size', 2),
    minPixels: bound('min_pixels', 'shortest_edge', 56 * 56),
    maxPixels: override ?? bound('max_pixels', 'longest_edge', 28 * 28 * 1280),
  };
}

function readWindow(config: JsonObject, name: string, geometry: Geometry): number | undefined {
  if (name !== 'qwen2_5_vl') return undefined;
  const vision = new Fields(
    isObject(config.vision_config) ? config.vision_config : {},
    'config.json vision_config',
  );
  const size = vision.positive('window_size', 112);
  const tokens = Math.floor(size / geometry.merge / geometry.patch);
  if (tokens >= 1) return tokens;
  throw new FsynError(
    'MODEL_CONTRACT',
    `Expected a window_size in config.json of at least one visual token of ${geometry.merge * geometry.patch} pixels, but found ${size}.`,
  );
}

/**
 * Size that an image is brought to: multiples of `factor`, area between the bounds, aspect ratio nearly kept.
 *
 * @returns [height, width]
 * @throws FsynError IMAGE for images more than 200 times as long as wide
 */
export function smartResize(
  height: number,
  width: number,
  factor: number,
  minPixels: number,
  maxPixels: number,
): [number, number] {
  if (Math.max(height, width) / Math.min(height, width) > 200) {
    throw new FsynError(
      'IMAGE',
      `The model takes aspect ratios up to 200; the image has ${width} x ${height}.`,
    );
  }
  const rows = roundHalfEven(height / factor) * factor;
  const columns = roundHalfEven(width / factor) * factor;
  if (rows * columns > maxPixels) {
    const shrink = Math.sqrt((height * width) / maxPixels);
    return [
      Math.max(factor, Math.floor(height / shrink / factor) * factor),
      Math.max(factor, Math.floor(width / shrink / factor) * factor),
    ];
  }
  if (rows * columns < minPixels) {
    const grow = Math.sqrt(minPixels / (height * width));
    return [Math.ceil((height * grow) / factor) * factor, Math.ceil((width * grow) / factor) * factor];
  }
  return [rows, columns];
}

/**
 * Cuts an image into [patches, 3 * temporal * patch * patch]; a still image repeats over time.
 * Patches come block by block of merge x merge, blocks row-major, patches row-major within their block.
 */
async function patchify(
  image: RgbImage,
  table: Float32Array,
  { patch, merge, temporal }: Geometry,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const [height, width] = image.shape as [number, number, number];
  const cut = { height, width, side: patch, merge, times: temporal, table };
  return runPatches({ source: image.data, ...cut }, signal);
}

/** The order in which the tower holds its merged tokens: window by window, row-major in and over windows. */
function windowOrder(rows: number, columns: number, window: number | undefined): number[] {
  const order: number[] = [];
  const side = window ?? Math.max(rows, columns);
  for (let top = 0; top < rows; top += side) {
    for (let left = 0; left < columns; left += side) {
      for (let row = top; row < Math.min(rows, top + side); row++) {
        for (let column = left; column < Math.min(columns, left + side); column++)
          order.push(row * columns + column);
      }
    }
  }
  return order;
}
