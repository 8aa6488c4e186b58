import type { PlayerTruth } from '../cells/attribution.js';
import { checkNumber } from '../checks.js';
import { FsynError } from '../errors.js';
import { resolveOptions } from '../options.js';
import type { PreparedSample } from './types.js';

/** Where an answer lies, in coordinates that no model's grid enters. */
export interface RegionsAndWords {
  /** Boxes [x0, y0, x1, y1] in pixels of the original image, half-open. */
  readonly boxes: readonly (readonly [number, number, number, number])[];
  /** Half-open character ranges of the question. */
  readonly words: readonly (readonly [number, number])[];
  /** Boxes, as above, of objects that could be taken for what is asked about. */
  readonly distractors?: readonly (readonly [number, number, number, number])[];
}

export interface MapTruthOptions {
  /**
   * Share of a cell, or of a box that is smaller than a cell, that must be covered for the cell to count; in
   * (0, 1].
   */
  readonly coverage: number;
}

/**
 * Maps ground truth to a prepared sample's players: an image player counts when its cell is covered by a box
 * (or holds most of a box smaller than itself, or is the one that a box between cells meets most), a text
 * player when its characters meet a word.
 *
 * @throws FsynError DATASET when a box or range is malformed, or when something decides but no player carries
 *   it
 */
export function mapTruth(
  truth: RegionsAndWords,
  sample: Pick<PreparedSample, 'question' | 'imagePlayers' | 'textPlayers'>,
  options?: Partial<MapTruthOptions>,
): PlayerTruth {
  const { coverage } = resolveOptions('mapTruth', { coverage: 0.5 }, options);
  checkNumber('coverage', coverage, { above: 0, most: 1 });
  const wrong = truth.distractors ?? [];
  for (const box of [...truth.boxes, ...wrong]) {
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
  const image = new Uint8Array(imagePlayers.count);
  for (const box of truth.boxes) markCells(image, imagePlayers.boxes, box, coverage);
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
  if (wrong.length === 0) return { image, text };
  const distractors = new Uint8Array(imagePlayers.count);
  for (const box of wrong) markCells(distractors, imagePlayers.boxes, box, coverage);
  // A cell of both belongs to what decides.
  for (const [player, decides] of image.entries()) if (decides) distractors[player] = 0;
  return distractors.includes(1) ? { image, text, distractors } : { image, text };
}

/**
 * Marks the cells of one box. An object that lies between cells keeps the one that it meets most, the first
 * of equals.
 */
function markCells(marks: Uint8Array, boxes: Float64Array, box: readonly number[], coverage: number): void {
  let best = -1;
  let bestOverlap = 0;
  let covered = false;
  for (let player = 0; player < marks.length; player++) {
    const cell = boxes.subarray(4 * player, 4 * player + 4);
    const overlap = overlapArea(box, cell);
    if (overlap > 0 && overlap >= coverage * Math.min(area(box), area(cell))) {
      marks[player] = 1;
      covered = true;
    }
    if (overlap > bestOverlap) {
      best = player;
      bestOverlap = overlap;
    }
  }
  if (!covered && best >= 0) marks[best] = 1;
}

function area(box: ArrayLike<number>): number {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

function overlapArea(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return width > 0 && height > 0 ? width * height : 0;
}
