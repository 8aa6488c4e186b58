import type { PictureFit } from '../report/record.js';
import { ranks } from '../statistics/ranks.js';
import type { ImagePlayers, PreparedSample, RgbImage } from '../vlm/types.js';

/** Fewer players leave nothing to fit with as many features as there are. */
const fewestPlayers = 16;

/** Pixels that are looked at per side of a player's box, and of the picture. */
const pixelsPerBox = 16;
const pixelsPerPicture = 128;

/** Steps of a feature per step of a colour: what differs by rounding only is equal and has one rank. */
const featureSteps = 1e6;

/** A feature whose own part is smaller than this share of it repeats the ones before. */
const ownPart = 1e-9;

type Pictured = Pick<PreparedSample, 'image' | 'imagePlayers'>;

/**
 * How much of an image map's order the picture explains: R^2 of the least-squares fit of the scores' ranks by
 * the ranks of each player's mean red, green and blue, its contrast, and its distances from the mean and the
 * median colour of the picture. Once with the scores at their players, once with every tile's scores read
 * column by column.
 *
 * Whatever its sign, a map that looks at the picture is explained better where it belongs; one that does not,
 * Random's say, as well here as there.
 *
 * @returns undefined where both readings are one, the map is constant, or there are fewer than 16 players
 */
export function pictureFit(scores: ArrayLike<number>, sample: Pictured): PictureFit | undefined {
  const { count, rows, columns } = sample.imagePlayers;
  if (count < fewestPlayers || rows === 1 || columns === 1) return undefined;
  const wanted = centred(ranks(scores));
  if (dot(wanted, wanted) === 0) return undefined;
  const basis = basisOf(sample);
  const turned = centred(ranks(readByColumns(scores, sample.imagePlayers)));
  return { declared: explained(basis, wanted), transposed: explained(basis, turned) };
}

/** Scores as they are meant where each tile was written column by column. */
function readByColumns(scores: ArrayLike<number>, { count, rows, columns }: ImagePlayers): Float64Array {
  const cells = rows * columns;
  return Float64Array.from({ length: count }, (_, player) => {
    const [tile, cell] = [Math.floor(player / cells), player % cells];
    return scores[tile * cells + (cell % columns) * rows + Math.floor(cell / columns)];
  });
}

const known = new WeakMap<Pictured, Float64Array[]>();

/** Orthonormal vectors that span the features' ranks; those that others span are left out. */
function basisOf(sample: Pictured): Float64Array[] {
  const found = known.get(sample);
  if (found) return found;
  const basis: Float64Array[] = [];
  for (const feature of features(sample.image, sample.imagePlayers)) {
    const vector = centred(ranks(feature));
    const size = dot(vector, vector);
    for (const other of basis) subtract(vector, other, dot(vector, other));
    const left = dot(vector, vector);
    if (left > ownPart * size) basis.push(vector.map((value) => value / Math.sqrt(left)));
  }
  known.set(sample, basis);
  return basis;
}

/** [6][players]: mean red, green, blue; contrast; distance from the mean and from the median colour. */
function features(image: RgbImage, { count, boxes }: ImagePlayers): Float64Array[] {
  const all = [...samplePixels(image, 0, 0, image.shape[1], image.shape[0], pixelsPerPicture)];
  const [mean, median] = [meanOf(all), medianOf(all)];
  const result = Array.from({ length: 6 }, () => new Float64Array(count));
  for (let player = 0; player < count; player++) {
    const [x0, y0, x1, y1] = boxes.subarray(4 * player, 4 * player + 4);
    const pixels = [...samplePixels(image, x0, y0, x1, y1, pixelsPerBox)];
    // A player of padding alone shows none of the picture.
    const own = pixels.length === 0 ? mean : meanOf(pixels);
    const average = (of: (pixel: readonly number[]) => number) =>
      pixels.reduce((sum, pixel) => sum + of(pixel), 0) / Math.max(1, pixels.length);
    const values = [
      ...own,
      Math.sqrt(average((pixel) => distance(pixel, own) ** 2)),
      distance(own, mean),
      average((pixel) => distance(pixel, median)),
    ];
    for (const [i, value] of values.entries()) result[i][player] = Math.round(value * featureSteps);
  }
  return result;
}

/** Pixels of a box on a grid of at most `most` a side. */
function* samplePixels(
  { data, shape }: RgbImage,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  most: number,
) {
  const [height, width] = shape;
  const [left, right] = [Math.max(0, Math.floor(x0)), Math.min(width, Math.ceil(x1))];
  const [top, bottom] = [Math.max(0, Math.floor(y0)), Math.min(height, Math.ceil(y1))];
  const across = Math.max(1, Math.ceil((right - left) / most));
  const down = Math.max(1, Math.ceil((bottom - top) / most));
  for (let y = top; y < bottom; y += down) {
    for (let x = left; x < right; x += across) {
      const at = 3 * (y * width + x);
      yield [data[at], data[at + 1], data[at + 2]];
    }
  }
}

function meanOf(pixels: readonly (readonly number[])[]): number[] {
  return [0, 1, 2].map((c) => pixels.reduce((sum, pixel) => sum + pixel[c], 0) / pixels.length);
}

function medianOf(pixels: readonly (readonly number[])[]): number[] {
  return [0, 1, 2].map((c) => pixels.map((pixel) => pixel[c]).sort((a, b) => a - b)[pixels.length >> 1]);
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

function centred(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}

function subtract(vector: Float64Array, other: Float64Array, factor: number): void {
  for (let i = 0; i < vector.length; i++) vector[i] = vector[i] - factor * other[i];
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

function explained(basis: readonly Float64Array[], wanted: Float64Array): number {
  return basis.reduce((sum, vector) => sum + dot(vector, wanted) ** 2, 0) / dot(wanted, wanted);
}
