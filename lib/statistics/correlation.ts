import { invalidArgument } from '../errors.js';
import type { Interval } from './bootstrap.js';
import { spearman } from './ranks.js';
import { percentileInterval, type ResampleOptions, resample } from './resample.js';

export type CorrelationKind = 'pearson' | 'spearman';

/**
 * Correlation over rows with an interval from a bootstrap over clusters: rows of one sample share its difficulty and are
 * not independent, so whole samples are drawn.
 *
 * @param clusters index of each row's cluster, 0-based and dense
 */
export function clusteredCorrelation(
  kind: CorrelationKind,
  x: Float64Array,
  y: Float64Array,
  clusters: Int32Array,
  options?: Partial<ResampleOptions>,
): Interval {
  if (x.length !== y.length || x.length !== clusters.length) {
    throw invalidArgument(
      'y and clusters',
      `${x.length} values, as many as x`,
      `${y.length} and ${clusters.length}`,
    );
  }
  const correlate = correlator(kind, x, y);
  const weights = new Float64Array(x.length).fill(1);
  const estimate = correlate(weights);
  const count = clusters.reduce((most, cluster) => Math.max(most, cluster + 1), 0);
  if (count < 2) return { estimate, low: Number.NaN, high: Number.NaN };
  const drawn: number[] = [];
  resample(count, options, (clusterWeights) => {
    for (let row = 0; row < weights.length; row++) weights[row] = clusterWeights[clusters[row]];
    drawn.push(correlate(weights));
  });
  return percentileInterval(estimate, Float64Array.from(drawn));
}

/**
 * Correlation of rows with whole-number weights, equal to that of the rows repeated as often. Sorting is done once, so
 * that one evaluation is linear in the rows.
 */
export function correlator(
  kind: CorrelationKind,
  x: Float64Array,
  y: Float64Array,
): (weights: Float64Array) => number {
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

function weightedPearson(x: Float64Array, y: Float64Array, weights: Float64Array): number {
  let total = 0;
  let sumX = 0;
  let sumY = 0;
  for (let i = 0; i < x.length; i++) {
    total += weights[i];
    sumX += weights[i] * x[i];
    sumY += weights[i] * y[i];
  }
  const meanX = sumX / total;
  const meanY = sumY / total;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < x.length; i++) {
    const dx = x[i] - meanX;
    const dy = y[i] - meanY;
    xx += weights[i] * dx * dx;
    yy += weights[i] * dy * dy;
    xy += weights[i] * dx * dy;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : Number.NaN;
}

/** Spearman correlation inside each cluster of three rows or more; clusters in which one side is constant are left out. */
export function withinClusterSpearman(x: Float64Array, y: Float64Array, clusters: Int32Array): Float64Array {
  const rows = new Map<number, number[]>();
  for (let row = 0; row < clusters.length; row++) {
    const list = rows.get(clusters[row]);
    if (list) list.push(row);
    else rows.set(clusters[row], [row]);
  }
  const found: number[] = [];
  for (const list of rows.values()) {
    if (list.length < 3) continue;
    const rho = spearman(
      list.map((row) => x[row]),
      list.map((row) => y[row]),
    );
    if (!Number.isNaN(rho)) found.push(rho);
  }
  return Float64Array.from(found);
}
