import type { PlayerTruth } from '../cells/attribution.js';
import { CellTable } from '../cells/table.js';
import { FsynError } from '../errors.js';
import type { Explainer } from './types.js';

/** 1 for the players that decide the answer, 0 for the others: the upper control. */
export const oracle: Explainer = {
  name: 'oracle',
  title: 'Oracle',
  reference: 'control: the dataset’s ground truth',
  needsTruth: true,
  cells: (imagePlayers, textPlayers) => new CellTable(imagePlayers, textPlayers),
  async attribute({ truth }) {
    const { image, text } = requireTruth(truth);
    return { image: Float64Array.from(image), text: Float64Array.from(text) };
  },
};

/** 1 - oracle: ranks the players that decide the answer last; the lower control. */
export const antiOracle: Explainer = {
  name: 'anti-oracle',
  title: 'Anti-Oracle',
  reference: 'control: the complement of the ground truth',
  needsTruth: true,
  cells: (imagePlayers, textPlayers) => new CellTable(imagePlayers, textPlayers),
  async attribute({ truth }) {
    const { image, text } = requireTruth(truth);
    return { image: Float64Array.from(image, (x) => 1 - x), text: Float64Array.from(text, (x) => 1 - x) };
  },
};

/**
 * The right words with a wrong place: 1 for the words that decide and for the image players of a distractor.
 * The cross-modal illusion of the paper's Experiment 1.2, which a joint metric must tell from the Oracle.
 */
export const mismatch: Explainer = {
  name: 'mismatch',
  title: 'Mismatch',
  reference: 'control: right words, a distractor’s region (arXiv 2605.22168, Experiment 1.2)',
  needsTruth: true,
  byNameOnly: true,
  appliesTo: (truth) =>
    truth !== undefined &&
    truth.boxes.length > 0 &&
    truth.words.length > 0 &&
    (truth.distractors?.length ?? 0) > 0,
  cells: (imagePlayers, textPlayers) => new CellTable(imagePlayers, textPlayers),
  async attribute({ truth }) {
    const { text, distractors } = requireTruth(truth);
    if (distractors === undefined) {
      throw new FsynError(
        'DATASET',
        'The Mismatch control needs ground truth that names distractors, and this sample has none.',
      );
    }
    return { image: Float64Array.from(distractors), text: Float64Array.from(text) };
  },
};

function requireTruth(truth: PlayerTruth | undefined): PlayerTruth {
  if (truth === undefined) {
    throw new FsynError(
      'DATASET',
      'The Oracle controls need a dataset with ground truth, and this sample has none.',
    );
  }
  return truth;
}
