import { FsynError } from '../errors.js';
import type { PlayerTruth } from '../explainers/types.js';
import { resolveOptions } from '../options.js';
import type { PreparedSample } from './types.js';

/** Where an answer lies, in coordinates that no model's grid enters. */
export interface RegionsAndWords {
  /** Boxes [x0, y0, x1, y1] in pixels of the original image, half-open. */
  readonly boxes: readonly (readonly [number, number, number, number])[];
  /** Half-open character ranges of the question. */
  readonly words: readonly (readonly [number, number])[];
}

export interface MapTruthOptions {
  /** Share of a cell, or of a box that is smaller than a cell, that must be covered for the cell to count; in (0, 1]. */
  readonly coverage: number;
}

/**
 * Maps ground truth to a prepared sample's players: an image player counts when its cell is covered by a box (or holds
 * most of a box smaller than itself), a text player when its characters meet a word.
 *
 * @throws FsynError DATASET when a box or range is malformed, or when something decides but no player carries it
 */
export function mapTruth(
  truth: RegionsAndWords,
  sample: Pick<PreparedSample, 'question' | 'imagePlayers' | 'textPlayers'>,
  options?: Partial<MapTruthOptions>,
): PlayerTruth {
  const { coverage } = resolveOptions('mapTruth', { coverage: 0.5 }, options);
  for (const box of truth.boxes) {
    if (!box.every(Number.isFinite) || box[2] <= box[0] || box[3] <= box[1]) {
      throw new FsynError(
        'DATASET',
        `Expected boxes [x0, y0, x1, y1] with x0 < x1 and y0 < y1 but received [${box.join(', ')}].`,
      );
    }
  }
  for (const [from, to] of truth.words) {
    if (
      !(
        Number.isInteger(from) &&
        Number.isInteger(to) &&
        0 <= from &&
        from < to &&
        to <= sample.question.length
      )
    ) {
      throw new FsynError(
        'DATASET',
        `Expected word ranges inside the question's ${sample.question.length} characters but received [${from}, ${to}].`,
      );
    }
  }
  const { imagePlayers, textPlayers } = sample;
  const image = Uint8Array.from({ length: imagePlayers.count }, (_, player) => {
    const cell = imagePlayers.boxes.subarray(4 * player, 4 * player + 4);
    return truth.boxes.some((box) => covers(box, cell, coverage)) ? 1 : 0;
  });
  const text = Uint8Array.from({ length: textPlayers.count }, (_, player) => {
    const from = textPlayers.spans[2 * player];
    const to = textPlayers.spans[2 * player + 1];
    return from >= 0 && truth.words.some(([start, end]) => from < end && start < to) ? 1 : 0;
  });
  if (truth.boxes.length > 0 && !image.includes(1)) {
    throw new FsynError(
      'DATASET',
      'No image player lies in the ground truth’s boxes; the preprocessing may crop that part of the image away.',
    );
  }
  if (truth.words.length > 0 && !text.includes(1)) {
    throw new FsynError('DATASET', 'No text player lies in the ground truth’s words.');
  }
  return { image, text };
}

function covers(box: readonly number[], cell: ArrayLike<number>, coverage: number): boolean {
  const width = Math.min(box[2], cell[2]) - Math.max(box[0], cell[0]);
  const height = Math.min(box[3], cell[3]) - Math.max(box[1], cell[1]);
  if (width <= 0 || height <= 0) return false;
  const smaller = Math.min((box[2] - box[0]) * (box[3] - box[1]), (cell[2] - cell[0]) * (cell[3] - cell[1]));
  return width * height >= coverage * smaller;
}
