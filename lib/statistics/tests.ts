import { invalidArgument } from '../errors.js';
import { ranks } from './ranks.js';
import { chiSquaredSurvival, normalSurvival } from './special.js';

/** Outcome of Wilcoxon's signed-rank test. */
export interface SignedRankResult {
  /** Differences that are not zero; zeros say nothing about a direction and are left out (Wilcoxon 1945). */
  readonly n: number;
  /** Sum of the ranks of positive differences. */
  readonly positiveRanks: number;
  /** Two-sided; 1 when no difference is left. */
  readonly pValue: number;
}

/**
 * Up to this many differences the permutation distribution is enumerated, ties included; beyond it is normal
 * enough.
 */
const exactLimit = 50;

/**
 * Wilcoxon's signed-rank test that paired differences are symmetric about zero, two-sided. Exact up to 50
 * differences (conditional on ties), above that the normal approximation with the tie-corrected variance and
 * no continuity correction.
 */
export function signedRankTest(differences: ArrayLike<number>): SignedRankResult {
  const kept: number[] = [];
  for (let i = 0; i < differences.length; i++) {
    if (Number.isNaN(differences[i])) throw invalidArgument('differences', 'numbers', Number.NaN);
    if (differences[i] !== 0) kept.push(differences[i]);
  }
  const n = kept.length;
  if (n === 0) return { n, positiveRanks: 0, pValue: 1 };
  const magnitudes = ranks(kept.map(Math.abs));
  let positiveRanks = 0;
  for (let i = 0; i < n; i++) if (kept[i] > 0) positiveRanks += magnitudes[i];
  const pValue =
    n <= exactLimit
      ? exactSignedRank(magnitudes, positiveRanks)
      : normalSignedRank(magnitudes, positiveRanks);
  return { n, positiveRanks, pValue };
}

/**
 * Every sign is a fair coin: counts of 2^n sign patterns by the doubled rank sum, which is whole even with
 * mid-ranks.
 */
function exactSignedRank(magnitudes: Float64Array, positiveRanks: number): number {
  const doubled = Array.from(magnitudes, (rank) => Math.round(2 * rank));
  const total = doubled.reduce((sum, rank) => sum + rank, 0);
  const probability = new Float64Array(total + 1);
  probability[0] = 1;
  for (const rank of doubled) {
    for (let sum = total; sum >= 0; sum--) {
      probability[sum] = (probability[sum] + (sum >= rank ? probability[sum - rank] : 0)) / 2;
    }
  }
  const observed = Math.round(2 * positiveRanks);
  let below = 0;
  let above = 0;
  for (let sum = 0; sum <= total; sum++) {
    if (sum <= observed) below += probability[sum];
    if (sum >= observed) above += probability[sum];
  }
  return Math.min(1, 2 * Math.min(below, above));
}

function normalSignedRank(magnitudes: Float64Array, positiveRanks: number): number {
  const n = magnitudes.length;
  const mean = (n * (n + 1)) / 4;
  const variance = (n * (n + 1) * (2 * n + 1) - tieTerm(magnitudes) / 2) / 24;
  return Math.min(1, 2 * normalSurvival(Math.abs(positiveRanks - mean) / Math.sqrt(variance)));
}

/** Sum of t^3 - t over groups of t equal ranks. */
function tieTerm(values: ArrayLike<number>): number {
  const counts = new Map<number, number>();
  for (let i = 0; i < values.length; i++) counts.set(values[i], (counts.get(values[i]) ?? 0) + 1);
  let sum = 0;
  for (const count of counts.values()) sum += count ** 3 - count;
  return sum;
}

/** Outcome of Friedman's test. */
export interface FriedmanResult {
  /** Blocks (samples) and treatments (explainers). */
  readonly blocks: number;
  readonly treatments: number;
  readonly statistic: number;
  readonly pValue: number;
  /** Kendall's W in [0, 1]: 0 no agreement between blocks on the order, 1 full agreement. */
  readonly concordance: number;
  /** Mean rank of every treatment; 1 = largest value. */
  readonly meanRanks: Float64Array;
}

/**
 * Friedman's test that treatments do not differ, on complete blocks, corrected for ties.
 * NaN statistic, p-value and W when every block is tied throughout.
 *
 * @param columns one array per treatment (at least two), one value per block (at least one)
 */
export function friedmanTest(columns: readonly ArrayLike<number>[]): FriedmanResult {
  const treatments = columns.length;
  if (treatments < 2) throw invalidArgument('columns', 'at least 2 treatments', treatments);
  const blocks = columns[0].length;
  if (blocks < 1 || columns.some((column) => column.length !== blocks)) {
    throw invalidArgument('columns', 'columns of one length >= 1', `lengths ${columns.map((c) => c.length)}`);
  }
  const sums = new Float64Array(treatments);
  let ties = 0;
  for (let block = 0; block < blocks; block++) {
    const descending = ranks(columns.map((column) => -column[block]));
    for (let j = 0; j < treatments; j++) sums[j] += descending[j];
    ties += tieTerm(descending);
  }
  const squares = sums.reduce((sum, value) => sum + value ** 2, 0);
  const untied = (12 * squares) / (blocks * treatments * (treatments + 1)) - 3 * blocks * (treatments + 1);
  const correction = 1 - ties / (blocks * treatments * (treatments ** 2 - 1));
  const statistic = correction > 0 ? untied / correction : Number.NaN;
  return {
    blocks,
    treatments,
    statistic,
    pValue: chiSquaredSurvival(statistic, treatments - 1),
    concordance: statistic / (blocks * (treatments - 1)),
    meanRanks: sums.map((sum) => sum / blocks),
  };
}

/**
 * Holm's (1979) step-down adjusted p-values, in the order given: they bound the chance of any false claim in
 * the family. NaN stands for a test that could not be made; it stays NaN and does not count.
 */
export function holm(pValues: ArrayLike<number>): Float64Array {
  const order: number[] = [];
  for (let i = 0; i < pValues.length; i++) if (!Number.isNaN(pValues[i])) order.push(i);
  order.sort((a, b) => pValues[a] - pValues[b] || a - b);
  const adjusted = new Float64Array(pValues.length).fill(Number.NaN);
  let largest = 0;
  for (const [position, index] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (order.length - position) * pValues[index]));
    adjusted[index] = largest;
  }
  return adjusted;
}
