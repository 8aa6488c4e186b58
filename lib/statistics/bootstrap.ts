import { checkInteger, checkNumber } from '../checks.js';
import { resolveOptions } from '../options.js';
import { Random } from './random.js';

export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  /** Number of resamples. */
  readonly resamples: number;
  /** Coverage, in (0, 1). */
  readonly level: number;
  readonly seed: number;
}

const defaults: BootstrapOptions = { resamples: 2000, level: 0.95, seed: 0 };

/**
 * Percentile bootstrap interval (Efron & Tibshirani 1993, section 13.3) of any statistic of n observations.
 *
 * @param n number of observations; the statistic receives indices into them, drawn with replacement
 * @param statistic a number for a list of indices; non-finite values make the interval NaN
 */
export function bootstrap(
  n: number,
  statistic: (indices: Int32Array) => number,
  options?: Partial<BootstrapOptions>,
): Interval {
  const { resamples, level, seed } = resolveOptions('bootstrap', defaults, options);
  checkNumber('level', level, { above: 0, below: 1 });
  checkInteger('resamples', resamples, 1);
  const indices = Int32Array.from({ length: n }, (_, i) => i);
  const estimate = n > 0 ? statistic(indices) : Number.NaN;
  if (n < 2) return { estimate, low: Number.NaN, high: Number.NaN };
  const random = new Random(seed);
  const drawn = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    for (let i = 0; i < n; i++) indices[i] = random.integer(n);
    drawn[r] = statistic(indices);
  }
  drawn.sort();
  const tail = (1 - level) / 2;
  return { estimate, low: quantile(drawn, tail), high: quantile(drawn, 1 - tail) };
}

/** Mean of the values with its percentile bootstrap interval. */
export function bootstrapMean(values: ArrayLike<number>, options?: Partial<BootstrapOptions>): Interval {
  return bootstrap(values.length, (indices) => meanOf(values, indices), options);
}

/**
 * Linear interpolation between order statistics of ascending values (type 7); NaN where a NaN sorts into
 * reach.
 */
export function quantile(ascending: ArrayLike<number>, probability: number): number {
  const position = (ascending.length - 1) * probability;
  const below = Math.floor(position);
  const above = Math.min(below + 1, ascending.length - 1);
  return ascending[below] + (position - below) * (ascending[above] - ascending[below]);
}

function meanOf(values: ArrayLike<number>, indices: Int32Array): number {
  let sum = 0;
  for (const index of indices) sum += values[index];
  return sum / indices.length;
}
