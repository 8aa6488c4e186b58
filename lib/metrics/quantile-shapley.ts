import { bitCount } from '../bits.js';
import type { Ranking } from '../cells/ranking.js';
import type { CellTable } from '../cells/table.js';
import { checkInteger } from '../checks.js';
import { interactionWeights } from './shapley.js';
import { areaUnderCurve, playersAtStep } from './steps.js';

/** The full value table of rank-quantile players: 2^quantiles image states x 2^quantiles text states. */
export interface QuantileShapleyRequest {
  readonly quantiles: number;
  /**
   * cells[i + 2^quantiles * t]: bit q of i (of t) says that the q-th most important image (text) group is
   * present.
   */
  readonly cells: Int32Array;
}

export interface QuantileShapleyResult {
  /** Shapley interaction index of image group a and text group b: shape [quantiles, quantiles], row-major. */
  readonly pairs: Float64Array;
  /** Fractions 0, 1/quantiles, ..., 1. */
  readonly steps: readonly number[];
  /**
   * Index of (top image groups, top text groups) merged into two players, the remaining groups as background.
   */
  readonly curve: Float64Array;
  readonly auc: number;
}

/**
 * Requests the exact Shapley interaction index of macro players that are rank quantiles: the players of each
 * modality are dealt, most important first, into `quantiles` groups. One table serves all cross pairs and
 * every step of the curve, where the published protocol enumerates a new table per step, and image and text
 * backgrounds stay separate players.
 *
 * @param quantiles groups per modality, 1..8; the table has 4^quantiles cells on 2^quantiles image states
 */
export function requestQuantileShapley(
  table: CellTable,
  ranking: Ranking,
  quantiles = 5,
): QuantileShapleyRequest {
  checkInteger('quantiles', quantiles, 1, 8);
  const imageStates = states(ranking.image, quantiles, (present) => table.imageState(present));
  const textStates = states(ranking.text, quantiles, (present) => table.textState(present));
  const side = 2 ** quantiles;
  const cells = Int32Array.from({ length: side * side }, (_, i) =>
    table.cell(imageStates[i % side], textStates[Math.floor(i / side)]),
  );
  return { quantiles, cells };
}

/** State of every coalition of one modality's groups. */
function states(ranking: Int32Array, quantiles: number, add: (present: Uint8Array) => number): Int32Array {
  const groupOf = new Uint8Array(ranking.length);
  for (let group = 0; group < quantiles; group++) {
    const from = playersAtStep(group / quantiles, ranking.length);
    const to = playersAtStep((group + 1) / quantiles, ranking.length);
    for (let rank = from; rank < to; rank++) groupOf[ranking[rank]] = group;
  }
  return Int32Array.from({ length: 2 ** quantiles }, (_, coalition) =>
    add(groupOf.map((group) => (coalition >> group) & 1)),
  );
}

/** Scores all cross pairs and the curve of merged top groups from the values of the table's cells. */
export function scoreQuantileShapley(
  request: QuantileShapleyRequest,
  values: ArrayLike<number>,
): QuantileShapleyResult {
  const { quantiles, cells } = request;
  const all = 2 ** quantiles - 1;
  const value = (image: number, text: number) => values[cells[image + (all + 1) * text]];
  const pairs = Float64Array.from({ length: quantiles * quantiles }, (_, i) =>
    mergedIndex(value, all, 1 << Math.floor(i / quantiles), 1 << (i % quantiles)),
  );
  const steps = Array.from({ length: quantiles + 1 }, (_, i) => i / quantiles);
  const curve = Float64Array.from(steps, (_, top) =>
    top === 0 ? 0 : mergedIndex(value, all, 2 ** top - 1, 2 ** top - 1),
  );
  return { pairs, steps, curve, auc: areaUnderCurve(steps, curve) };
}

/**
 * Shapley interaction index (Grabisch & Roubens 1999) of two players in the game where the groups of `image`
 * are merged into one player, those of `text` into another, and every other group is a player of its own.
 */
function mergedIndex(
  value: (image: number, text: number) => number,
  all: number,
  image: number,
  text: number,
): number {
  const imageRest = subsets(all & ~image);
  const textRest = subsets(all & ~text);
  const weights = interactionWeights(2 + Math.log2(imageRest.length) + Math.log2(textRest.length));
  let sum = 0;
  for (const i of imageRest) {
    for (const t of textRest) {
      const difference = value(i | image, t | text) - value(i | image, t) - value(i, t | text) + value(i, t);
      sum += weights[bitCount(i) + bitCount(t)] * difference;
    }
  }
  return sum;
}

/** Every subset of a bit set, ascending. */
function subsets(set: number): number[] {
  const found = [0];
  for (let rest = set; rest > 0; rest &= rest - 1) {
    const lowest = rest & -rest;
    found.push(...found.map((subset) => subset | lowest));
  }
  return found;
}
