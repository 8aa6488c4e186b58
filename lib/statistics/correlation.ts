import { invalidArgument } from '../errors.js';
import type { Interval } from './bootstrap.js';
import { requireFinite, spearman, weightedPearson } from './ranks.js';
import { percentileInterval, type ResampleOptions, resample } from './resample.js';

export type CorrelationKind = 'pearson' | 'spearman';

/** Two columns of equal length to be correlated. */
export interface CorrelationPair {
  readonly kind: CorrelationKind;
  readonly x: Float64Array;
  readonly y: Float64Array;
}

/**
 * Correlations over rows with intervals from a bootstrap over clusters: rows of one sample share its
 * difficulty and are not independent, so whole samples are drawn. All pairs see the same resamples.
 *
 * @param clusters index of each row's cluster, 0-based and dense; its length is that of every column
 */
export function clusteredCorrelations(
  pairs: readonly CorrelationPair[],
  clusters: Int32Array,
  options?: Partial<ResampleOptions>,
): Interval[] {
  for (const { x, y } of pairs) {
    if (x.length !== clusters.length || y.length !== clusters.length) {
      throw invalidArgument('pairs', `columns of ${clusters.length} values`, `${x.length} and ${y.length}`);
    }
  }
  const correlators = pairs.map(({ kind, x, y }) => correlator(kind, x, y));
  const weights = new Float64Array(clusters.length).fill(1);
  const estimates = correlators.map((correlate) => correlate(weights));
  const count = clusters.reduce((most, cluster) => Math.max(most, cluster + 1), 0);
  if (count < 2) return estimates.map((estimate) => ({ estimate, low: Number.NaN, high: Number.NaN }));
  const drawn = pairs.map((): number[] => []);
  resample(count, options, (clusterWeights) => {
    for (let row = 0; row < weights.length; row++) weights[row] = clusterWeights[clusters[row]];
    for (let i = 0; i < correlators.length; i++) drawn[i].push(correlators[i](weights));
  });
  return estimates.map((estimate, i) => percentileInterval(estimate, Float64Array.from(drawn[i])));
}

/** One correlation, as {@link clusteredCorrelations}. */
export function clusteredCorrelation(
  kind: CorrelationKind,
  x: Float64Array,
  y: Float64Array,
  clusters: Int32Array,
  options?: Partial<ResampleOptions>,
): Interval {
  return clusteredCorrelations([{ kind, x, y }], clusters, options)[0];
}

/**
 * Correlation of rows with whole-number weights, equal to that of the rows repeated as often. Sorting is done
 * once, so that one evaluation is linear in the rows. NaN where one side is constant among the rows that
 * count.
 *
 * @throws FsynError INVALID_ARGUMENT for values that are not finite
 */
export function correlator(
  kind: CorrelationKind,
  x: Float64Array,
  y: Float64Array,
): (weights: Float64Array) => number {
  requireFinite('x', x);
  requireFinite('y', y);
  if (kind === 'pearson') return (weights) => weightedPearson(x, y, weights);
  const rankX = ranker(x);
  const rankY = ranker(y);
  return (weights) => weightedPearson(rankX(weights), rankY(weights), weights);
}

/** Mid-ranks of repeated values; the returned array is reused by the next call. */
function ranker(values: Float64Array): (weights: Float64Array) => Float64Array {
  const order = Int32Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b] || a - b);
  const result = new Float64Array(values.length);
  return (weights) => {
    let before = 0;
    for (let start = 0; start < order.length; ) {
      let end = start;
      let tied = 0;
      while (end < order.length && values[order[end]] === values[order[start]]) tied += weights[order[end++]];
      for (let i = start; i < end; i++) result[order[i]] = before + (tied + 1) / 2;
      before += tied;
      start = end;
    }
    return result;
  };
}

/** Rows that a correlation inside a cluster takes. */
export const smallestCluster = 3;

/**
 * Spearman correlation inside each cluster of three rows or more; clusters in which one side is constant are
 * left out.
 */
export function withinClusterSpearman(x: Float64Array, y: Float64Array, clusters: Int32Array): Float64Array {
  const rows = new Map<number, number[]>();
  for (let row = 0; row < clusters.length; row++) {
    const list = rows.get(clusters[row]);
    if (list) list.push(row);
    else rows.set(clusters[row], [row]);
  }
  const found: number[] = [];
  for (const list of rows.values()) {
    if (list.length < smallestCluster) continue;
    const rho = spearman(
      list.map((row) => x[row]),
      list.map((row) => y[row]),
    );
    if (!Number.isNaN(rho)) found.push(rho);
  }
  return Float64Array.from(found);
}
