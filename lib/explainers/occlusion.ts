import { requestCorners } from '../cells/corners.js';
import { CellTable } from '../cells/table.js';
import { cellValues } from '../cells/values.js';
import type { Explainer } from './types.js';

interface OcclusionCells {
  readonly table: CellTable;
  readonly full: number;
  /** Cell without each player. */
  readonly image: Int32Array;
  readonly text: Int32Array;
}

function request(imagePlayers: number, textPlayers: number): OcclusionCells {
  const table = new CellTable(imagePlayers, textPlayers);
  const corners = requestCorners(table);
  const without = (players: number, player: number) => {
    const present = new Uint8Array(players).fill(1);
    present[player] = 0;
    return present;
  };
  return {
    table,
    full: corners.full,
    image: Int32Array.from({ length: imagePlayers }, (_, player) =>
      table.cell(table.imageState(without(imagePlayers, player)), corners.fullText),
    ),
    text: Int32Array.from({ length: textPlayers }, (_, player) =>
      table.cell(corners.fullImage, table.textState(without(textPlayers, player))),
    ),
  };
}

/**
 * Leave one player out (Zeiler & Fergus 2014): a player's score is how much the probability of the decision
 * token falls when it alone is absent. One cell per player and the full input.
 */
export const occlusion: Explainer = {
  name: 'occlusion',
  title: 'Occlusion',
  reference: 'Zeiler & Fergus 2014, leave one player out',
  needsTruth: false,
  cells: (imagePlayers, textPlayers) => request(imagePlayers, textPlayers).table,
  async attribute({ sample, signal, evaluate }) {
    const { table, full, image, text } = request(sample.imagePlayers.count, sample.textPlayers.count);
    const values = cellValues(await evaluate(table, { signal }), 'probability');
    const drop = (cell: number) => values[full] - values[cell];
    return { image: Float64Array.from(image, drop), text: Float64Array.from(text, drop) };
  },
};
