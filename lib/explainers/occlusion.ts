import { CellTable } from '../metrics/cells.js';
import { requestCorners } from '../metrics/corners.js';
import { cellValues } from '../metrics/values.js';
import type { Explainer } from './types.js';

/**
 * Leave one player out (Zeiler & Fergus 2014): a player's score is how much the probability of the decision token falls
 * when it alone is absent. One cell per player and the full input.
 */
export const occlusion: Explainer = {
  name: 'occlusion',
  title: 'Occlusion',
  reference: 'Zeiler & Fergus 2014, leave one player out',
  needsTruth: false,
  async attribute({ sample, signal, evaluate }) {
    const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
    const corners = requestCorners(table);
    const without = (players: number, player: number) => {
      const present = new Uint8Array(players).fill(1);
      present[player] = 0;
      return present;
    };
    const imageCells = Int32Array.from({ length: table.imagePlayers }, (_, player) =>
      table.cell(table.imageState(without(table.imagePlayers, player)), corners.fullText),
    );
    const textCells = Int32Array.from({ length: table.textPlayers }, (_, player) =>
      table.cell(corners.fullImage, table.textState(without(table.textPlayers, player))),
    );
    const values = cellValues(await evaluate(table, { signal }), 'probability');
    const drop = (cell: number) => values[corners.full] - values[cell];
    return { image: Float64Array.from(imageCells, drop), text: Float64Array.from(textCells, drop) };
  },
};
