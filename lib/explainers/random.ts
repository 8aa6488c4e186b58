import { CellTable } from '../cells/table.js';
import { Random } from '../statistics/random.js';
import type { Explainer } from './types.js';

/**
 * Uniform scores from the context's seed: the control that every faithful method must beat. Different for
 * every sample.
 */
export const random: Explainer = {
  name: 'random',
  title: 'Random',
  reference: 'control: uniform scores, fresh for every sample',
  needsTruth: false,
  cells: (imagePlayers, textPlayers) => new CellTable(imagePlayers, textPlayers),
  async attribute({ sample, seed }) {
    const stream = new Random(seed);
    const draw = (players: number) => Float64Array.from({ length: players }, () => stream.uniform());
    return { image: draw(sample.imagePlayers.count), text: draw(sample.textPlayers.count) };
  },
};
