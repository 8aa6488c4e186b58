import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Attribution } from '../cells/attribution.js';
import { FsynError, invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import { parseJson, readRegularFile, readTextFile } from '../text-file.js';
import type { ImagePlayers, PreparedSample } from '../vlm/types.js';
import { parseNpy } from './npy.js';
import type { Explainer } from './types.js';

/** Scores computed elsewhere: nested lists or a flat list per modality. */
export interface ExternalAttribution {
  /**
   * [count], [rows, columns] or [tiles, rows, columns]; or k times finer in both directions, which is summed.
   */
  readonly image: NestedNumbers;
  /** [text players]. */
  readonly text: readonly number[];
}

export type NestedNumbers = readonly (number | NestedNumbers)[];

/**
 * `row-major`: as one reads. `merge-block`: finer patches in the order of Qwen's pixel input, all of a token
 * together.
 */
export type ImageOrder = 'row-major' | 'merge-block';

export interface ImportOptions {
  /** Order of a flat list of image scores that is finer than the players. Default: `row-major`. */
  readonly imageOrder?: ImageOrder;
}

const role = { code: 'ATTRIBUTION', what: 'the attribution' } as const;
const DEFAULTS = { imageOrder: 'row-major' as ImageOrder };

interface Scores {
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

/**
 * Scores from outside as an attribution of a sample, shapes checked and image scores brought into player
 * order.
 *
 * @throws FsynError `ATTRIBUTION` for a wrong number of scores or a value that is not finite
 */
export function importAttribution(
  sample: PreparedSample,
  external: ExternalAttribution,
  options?: ImportOptions,
): Attribution {
  const resolved = resolveOptions('importAttribution', DEFAULTS, options);
  return convert(sample, flatten('image', external.image), flatten('text', external.text), resolved);
}

/**
 * Reads an attribution of a sample: a JSON file `{"image": ..., "text": [...]}`, or two .npy files.
 *
 * @example
 * const attribution = await readAttribution(sample, { image: 'dog.image.npy', text: 'dog.text.npy' });
 */
export async function readAttribution(
  sample: PreparedSample,
  source: string | { readonly image: string; readonly text: string },
  options?: ImportOptions,
): Promise<Attribution> {
  const resolved = resolveOptions('readAttribution', DEFAULTS, options);
  if (typeof source !== 'string') {
    const [image, text] = await Promise.all([readScores(source.image), readScores(source.text)]);
    return convert(sample, image, text, resolved);
  }
  const parsed = parseJson(await readTextFile(source, role), source, 'ATTRIBUTION');
  if (typeof parsed !== 'object' || parsed === null || !('image' in parsed) || !('text' in parsed)) {
    throw new FsynError('ATTRIBUTION', `${source} has no "image" and "text".`);
  }
  return importAttribution(sample, parsed as ExternalAttribution, resolved);
}

export interface ImportedExplainerOptions extends ImportOptions {
  /** Stable name in results. */
  readonly name: string;
  readonly title?: string;
  /** Where the scores come from: a paper, a program, a version. */
  readonly reference?: string;
  /** Folder with `<id>.json`, or `<id>.image.npy` and `<id>.text.npy`. */
  readonly folder: string;
  /** The id of a sample. */
  readonly idOf: (sample: PreparedSample) => string;
}

/** An explainer whose attributions were computed elsewhere, one file (or pair of files) per sample. */
export function importedExplainer(given: ImportedExplainerOptions): Explainer {
  const { name, title = name, reference = 'imported', folder, idOf, imageOrder = 'row-major' } = given;
  if (typeof name !== 'string' || name === '') throw invalidArgument('name', 'a name', name);
  return {
    name,
    title,
    reference,
    needsTruth: false,
    async attribute({ sample, signal }) {
      signal?.throwIfAborted();
      const id = idOf(sample);
      const json = join(folder, `${id}.json`);
      if (await exists(json)) return readAttribution(sample, json, { imageOrder });
      const pair = { image: join(folder, `${id}.image.npy`), text: join(folder, `${id}.text.npy`) };
      return readAttribution(sample, pair, { imageOrder });
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function readScores(path: string): Promise<Scores> {
  return parseNpy(await readRegularFile(path, role), path);
}

function flatten(name: string, nested: unknown): Scores {
  const shape: number[] = [];
  const values: number[] = [];
  const walk = (item: unknown, depth: number): void => {
    if (typeof item === 'number') {
      if (depth !== shape.length)
        throw new FsynError('ATTRIBUTION', `The ${name} scores are not a regular array.`);
      values.push(item);
      return;
    }
    if (!Array.isArray(item) && !ArrayBuffer.isView(item)) {
      throw new FsynError('ATTRIBUTION', `The ${name} scores contain something that is not a number.`);
    }
    const items = Array.from(item as ArrayLike<unknown>);
    if (depth === shape.length && values.length === 0) shape.push(items.length);
    else if (shape[depth] !== items.length) {
      throw new FsynError('ATTRIBUTION', `The ${name} scores are not a regular array.`);
    }
    for (const inner of items) walk(inner, depth + 1);
  };
  walk(nested, 0);
  return { shape, values: Float64Array.from(values) };
}

function convert(sample: PreparedSample, image: Scores, text: Scores, options: typeof DEFAULTS): Attribution {
  const { imageOrder } = options;
  if (imageOrder !== 'row-major' && imageOrder !== 'merge-block') {
    throw invalidArgument('imageOrder', 'row-major or merge-block', imageOrder);
  }
  const words = text.shape.length === 1 ? text.values : new Float64Array(0);
  if (words.length !== sample.textPlayers.count) {
    const message = `Expected ${sample.textPlayers.count} text scores but received shape [${text.shape.join(', ')}].`;
    throw new FsynError('ATTRIBUTION', message);
  }
  const cells = byCell(image, sample.imagePlayers, imageOrder);
  for (const [modality, values] of [
    ['image', cells],
    ['text', words],
  ] as const) {
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new FsynError('ATTRIBUTION', `The score of ${modality} player ${bad} is not finite.`);
  }
  return { image: cells, text: words };
}

/** Image scores summed over each player's cell. */
function byCell(image: Scores, players: ImagePlayers, order: ImageOrder): Float64Array {
  const { count, rows, columns, tiles } = players;
  const { shape, values } = image;
  const refused = () => {
    const expected = `[${count}], [${rows}, ${columns}] or [${tiles}, ${rows}, ${columns}], or a multiple of the grid`;
    const turned = rows !== columns && shape.at(-2) === columns && shape.at(-1) === rows;
    const message =
      `Expected image scores of shape ${expected}, but received [${shape.join(', ')}].` +
      (turned ? ' They look transposed: rows come first.' : '');
    return new FsynError('ATTRIBUTION', message);
  };
  const finer = Math.sqrt(values.length / count);
  if (shape.length === 1) {
    if (values.length === count) return values;
    if (!Number.isInteger(finer) || finer < 1) throw refused();
    if (order === 'row-major') return pool(values, players, finer, finer);
    const sums = new Float64Array(count);
    for (const [i, value] of values.entries()) {
      const player = Math.floor(i / (finer * finer));
      sums[player] = sums[player] + value;
    }
    return sums;
  }
  const [height, width] = [shape.at(-2) as number, shape.at(-1) as number];
  const images = shape.length === 3 ? shape[0] : 1;
  const [down, across] = [height / rows, width / columns];
  const fits =
    shape.length <= 3 && images === tiles && Number.isInteger(down) && Number.isInteger(across) && down > 0;
  if (!fits || across === 0) throw refused();
  return pool(values, players, down, across);
}

function pool(values: Float64Array, players: ImagePlayers, down: number, across: number): Float64Array {
  const { count, rows, columns } = players;
  const [height, width] = [rows * down, columns * across];
  const sums = new Float64Array(count);
  for (const [i, value] of values.entries()) {
    const tile = Math.floor(i / (height * width));
    const row = Math.floor((Math.floor(i / width) % height) / down);
    const player = tile * rows * columns + row * columns + Math.floor((i % width) / across);
    sums[player] = sums[player] + value;
  }
  return sums;
}
