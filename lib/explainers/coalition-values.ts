import { CellTable } from '../cells/table.js';
import { cellValues, type Scoring } from '../cells/values.js';
import type { CoalitionBatch } from '../interactions/coalitions.js';
import type { ExplainContext } from './types.js';

/** A game as `fsyn/interactions` plays it: one value per coalition. */
export type CoalitionValues = (coalitions: CoalitionBatch) => Promise<Float64Array>;

/**
 * The game of a sample whose players are regions of the picture, then words; a batch's coalitions share the
 * image and text states that they have in common.
 *
 * @param regions region of every image player, 0 to `count` - 1
 */
export function coalitionValues(
  { sample, signal, evaluate }: Pick<ExplainContext, 'sample' | 'signal' | 'evaluate'>,
  { regions, count }: { readonly regions: Int32Array; readonly count: number },
  scoring: Scoring,
): CoalitionValues {
  const words = sample.textPlayers.count;
  const players = count + words;
  return async (coalitions) => {
    const table = new CellTable(sample.imagePlayers.count, words);
    const masks = coalitions.toMasks();
    const cells = Int32Array.from({ length: coalitions.length }, (_, i) => {
      const present = masks.subarray(i * players, (i + 1) * players);
      return table.cell(
        table.imageState(Uint8Array.from(regions, (region) => present[region])),
        table.textState(present.subarray(count)),
      );
    });
    const values = cellValues(await evaluate(table, { signal }), scoring);
    return Float64Array.from(cells, (cell) => values[cell]);
  };
}
