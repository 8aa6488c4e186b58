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

function requireTruth(truth: PlayerTruth | undefined): PlayerTruth {
  if (truth === undefined) {
    throw new FsynError(
      'DATASET',
      'The Oracle controls need a dataset with ground truth, and this sample has none.',
    );
  }
  return truth;
}
