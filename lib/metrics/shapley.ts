import { bitCount } from '../bits.js';
import type { Corners } from '../cells/corners.js';
import type { Ranking } from '../cells/ranking.js';
import type { CellTable } from '../cells/table.js';
import { checkInteger } from '../checks.js';
import { Random } from '../statistics/random.js';
import { areaUnderCurve, onlyTop, playersAtStep } from './steps.js';

export interface ShapleyOptions {
  /**
   * Groups that the players outside the top sets are dealt into; each group's image and text parts switch
   * together.
   */
  readonly groups: number;
  /** Independent random partitions into groups; the result is their mean. */
  readonly partitions: number;
  readonly seed: number;
}

/** The value tables of the macro-player game: per partition and step 2^(2 + groups) cells. */
export interface ShapleyRequest {
  readonly steps: readonly number[];
  readonly groups: number;
  readonly partitions: number;
  /**
   * tables[partition][step]: cell of every coalition, bit 0 = top image set, bit 1 = top text set, bit 2+j =
   * group j.
   */
  readonly tables: readonly (readonly Int32Array[])[];
}

export interface ShapleyResult {
  /** Shapley interaction index of (top image set, top text set) at each step, mean over partitions. */
  readonly curve: Float64Array;
  readonly auc: number;
  /** Standard deviation of the AUC over partitions (n - 1); NaN for one partition. */
  readonly partitionDeviation: number;
}

/**
 * Requests the paper's exact Shapley interaction index (arXiv 2605.22168; reference protocol): at each step
 * the top image set and the top text set are two players and the rest is dealt at random into jointly
 * switched background groups. Seeded, so that repeated runs ask for the same cells.
 */
export function requestShapley(
  table: CellTable,
  ranking: Ranking,
  corners: Corners,
  steps: readonly number[],
  { groups, partitions, seed }: ShapleyOptions,
): ShapleyRequest {
  // 2^(groups + 2) cells per step: 12 groups are already 16384.
  checkInteger('groups', groups, 1, 12);
  checkInteger('partitions', partitions, 1);
  const random = new Random(seed);
  const tables = Array.from({ length: partitions }, () =>
    steps.map((step) => stepTable(table, ranking, corners, step, groups, random)),
  );
  return { steps, groups, partitions, tables };
}

function stepTable(
  table: CellTable,
  { image, text }: Ranking,
  corners: Corners,
  step: number,
  groups: number,
  random: Random,
): Int32Array {
  const imageCount = playersAtStep(step, image.length);
  const textCount = playersAtStep(step, text.length);
  const coalitions = 2 ** (groups + 2);
  if (imageCount === 0 && textCount === 0) {
    // Both players are empty sets, so every double difference is 0: one known cell stands for all of them.
    return new Int32Array(coalitions).fill(corners.empty);
  }
  const imageStates = statesOfGroups(image, imageCount, groups, random, (p) => table.imageState(p));
  const textStates = statesOfGroups(text, textCount, groups, random, (p) => table.textState(p));
  return Int32Array.from({ length: coalitions }, (_, coalition) => {
    const background = coalition >> 2;
    return table.cell(
      imageStates[(coalition & 1) + 2 * background],
      textStates[((coalition >> 1) & 1) + 2 * background],
    );
  });
}

/** States of one modality, index = top present + 2 * background coalition. */
function statesOfGroups(
  ranking: Int32Array,
  count: number,
  groups: number,
  random: Random,
  add: (present: Uint8Array) => number,
): Int32Array {
  const rest = ranking.length - count;
  const order = random.permutation(rest);
  const members = Array.from({ length: groups }, (_, group) => {
    // The first rest % groups parts are one larger, as torch.tensor_split deals them.
    const start = group * Math.floor(rest / groups) + Math.min(group, rest % groups);
    const size = Math.floor(rest / groups) + (group < rest % groups ? 1 : 0);
    return Array.from(order.subarray(start, start + size), (position) => ranking[count + position]);
  });
  return Int32Array.from({ length: 2 ** (groups + 1) }, (_, code) => {
    const present = code & 1 ? onlyTop(ranking, count) : new Uint8Array(ranking.length);
    for (let group = 0; group < groups; group++) {
      if ((code >> (group + 1)) & 1) for (const player of members[group]) present[player] = 1;
    }
    return add(present);
  });
}

/** Scores the Shapley interaction index from the values of the table's cells. */
export function scoreShapley(request: ShapleyRequest, values: ArrayLike<number>): ShapleyResult {
  const weights = interactionWeights(request.groups + 2);
  const curves = request.tables.map((steps) =>
    Float64Array.from(steps, (cells) => pairIndex(cells, values, weights)),
  );
  const aucs = curves.map((curve) => areaUnderCurve(request.steps, curve));
  const curve = new Float64Array(request.steps.length);
  for (const one of curves) for (let i = 0; i < curve.length; i++) curve[i] += one[i] / curves.length;
  const auc = aucs.reduce((sum, value) => sum + value, 0) / aucs.length;
  const squares = aucs.reduce((sum, value) => sum + (value - auc) ** 2, 0);
  return {
    curve,
    auc,
    partitionDeviation: aucs.length > 1 ? Math.sqrt(squares / (aucs.length - 1)) : Number.NaN,
  };
}

/**
 * Shapley interaction index of players 0 and 1 of a value table indexed by coalition bits (Grabisch & Roubens
 * 1999).
 */
function pairIndex(cells: Int32Array, values: ArrayLike<number>, weights: Float64Array): number {
  let sum = 0;
  for (let coalition = 0; coalition < cells.length; coalition += 4) {
    const difference =
      values[cells[coalition + 3]] -
      values[cells[coalition + 1]] -
      values[cells[coalition + 2]] +
      values[cells[coalition]];
    sum += weights[bitCount(coalition)] * difference;
  }
  return sum;
}

/** weights[t] = t! (n - t - 2)! / (n - 1)! for coalitions of t of the other n - 2 players. */
export function interactionWeights(players: number): Float64Array {
  const weights = new Float64Array(players - 1);
  let binomial = 1;
  for (let size = 0; size <= players - 2; size++) {
    weights[size] = 1 / ((players - 1) * binomial);
    binomial = (binomial * (players - 2 - size)) / (size + 1);
  }
  return weights;
}
