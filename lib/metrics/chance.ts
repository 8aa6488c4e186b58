import type { Corners } from '../cells/corners.js';
import type { CellTable } from '../cells/table.js';
import { Random } from '../statistics/random.js';
import { requestSynergy, type SynergyRequest, scoreSynergy } from './synergy.js';

/** F_syn that an order drawn at random has on a sample: ours, not the paper's (docs/metrics.md). */
export interface Chance {
  readonly orders: number;
  /** Mean dividends over the orders at every step. */
  readonly insertion: Float64Array;
  readonly deletion: Float64Array;
  /** Largest raw F_syn of the orders. */
  readonly best: number;
}

/** Requests the cells of random orders, image and text drawn independently; they share the table's cells. */
export function requestChance(
  table: CellTable,
  corners: Corners,
  steps: readonly number[],
  { orders, seed }: { readonly orders: number; readonly seed: number },
): SynergyRequest[] {
  const random = new Random(seed);
  return Array.from({ length: orders }, () => {
    const ranking = {
      image: random.permutation(table.imagePlayers),
      text: random.permutation(table.textPlayers),
    };
    return requestSynergy(table, ranking, corners, steps);
  });
}

export function scoreChance(requests: readonly SynergyRequest[], values: ArrayLike<number>): Chance {
  const results = requests.map((request) => scoreSynergy(request, values, 1));
  const mean = (part: 'insertion' | 'deletion') =>
    results[0][part].map((_, i) => results.reduce((sum, one) => sum + one[part][i], 0) / results.length);
  return {
    orders: results.length,
    insertion: mean('insertion'),
    deletion: mean('deletion'),
    best: Math.max(...results.map(({ raw }) => raw.mean)),
  };
}
