import ndarray from 'ndarray';
import { invalidArgument } from '../../errors.js';
import { resizeImage } from '../images/resample.js';
import type { ImagePlayers, RgbImage, TextPlayers } from '../types.js';

/** A picture of a size that the processor behind a server leaves alone, cut into rectangles. */
export interface ServedPicture {
  readonly image: RgbImage;
  readonly players: ImagePlayers;
  /** Side of a player in pixels of `image`. */
  readonly cell: { readonly width: number; readonly height: number };
}

/**
 * Brings a picture to whole multiples of `multiple` (or to the side `fixed`), and makes a grid of at most
 * `grid` x `grid` players of whole multiples.
 *
 * @param multiple pixels that one visual token covers; a player covers whole ones
 * @param fixed side of the square picture that a model takes, null where it takes any size
 */
export async function servedPicture(
  image: RgbImage,
  { multiple, fixed, grid }: { multiple: number; fixed: number | null; grid: number },
  signal?: AbortSignal,
): Promise<ServedPicture> {
  const [height, width] = image.shape as [number, number, number];
  const tokens = (side: number) => Math.max(1, Math.round((fixed ?? side) / multiple));
  const [rows, columns] = [playersOf(tokens(height), grid), playersOf(tokens(width), grid)];
  const [cellHeight, cellWidth] = [(tokens(height) / rows) * multiple, (tokens(width) / columns) * multiple];
  const resized = await resizeImage(image, rows * cellHeight, columns * cellWidth, 'bicubic', signal);
  const boxes = Float64Array.from({ length: rows * columns * 4 }, (_, i) => {
    const [row, column] = [Math.floor(i / 4 / columns), Math.floor(i / 4) % columns];
    const [x, y] = [(column + (i % 4 > 1 ? 1 : 0)) / columns, (row + (i % 4 > 1 ? 1 : 0)) / rows];
    return i % 2 === 0 ? x * width : y * height;
  });
  return {
    image: resized,
    players: { count: rows * columns, rows, columns, tiles: 1, boxes },
    cell: { width: cellWidth, height: cellHeight },
  };
}

/** The largest number of players along a side that divides its visual tokens and is not above the grid. */
function playersOf(tokens: number, grid: number): number {
  for (let players = Math.min(grid, tokens); players > 1; players--)
    if (tokens % players === 0) return players;
  return 1;
}

/** The picture with absent players taken from the baseline. */
export function maskedPicture(
  { image, players, cell }: ServedPicture,
  baseline: RgbImage,
  present: ArrayLike<number>,
): RgbImage {
  const [height, width] = image.shape as [number, number, number];
  const data = Uint8Array.from(image.data);
  for (let player = 0; player < players.count; player++) {
    if (present[player]) continue;
    const left = (player % players.columns) * cell.width * 3;
    const top = Math.floor(player / players.columns) * cell.height;
    for (let y = top; y < top + cell.height; y++) {
      const from = y * width * 3 + left;
      data.set(baseline.data.subarray(from, from + cell.width * 3), from);
    }
  }
  return ndarray(data, [height, width, 3]);
}

/** The words of a question as players. What is not a word - blanks - belongs to none. */
export function servedWords(question: string): TextPlayers {
  const words = [...question.matchAll(/\S+/gu)];
  if (words.length === 0) throw invalidArgument('question', 'a question with a word', question);
  return {
    count: words.length,
    labels: words.map(([word]) => word),
    kinds: words.map(() => 'question' as const),
    spans: Int32Array.from(words.flatMap((word) => [word.index, word.index + word[0].length])),
    positions: Int32Array.from(words.keys()),
  };
}

/**
 * What stands where all words are absent: a server refuses a blank question, and a filler word would be a new
 * word.
 */
export const emptyQuestion = '.';

/** The question without its absent words, gaps closed; another game than words hidden in their places. */
export function maskedQuestion({ labels }: TextPlayers, present: ArrayLike<number>): string {
  const kept = labels.filter((_, i) => present[i]);
  return kept.length === 0 ? emptyQuestion : kept.join(' ');
}
