import { checkInteger, checkNumber } from '../checks.js';
import { invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import { type Interval, quantile } from './bootstrap.js';
import { Random } from './random.js';

export interface ResampleOptions {
  /** Number of resamples. */
  readonly resamples: number;
  readonly seed: number;
  /**
   * One small integer >= 0 per unit; units are drawn within their stratum, so that its size stays fixed.
   * Empty: one stratum.
   */
  readonly strata: ArrayLike<number>;
}

const defaults: ResampleOptions = { resamples: 2000, seed: 0, strata: [] };

/**
 * Draws how often each of n units appears in every bootstrap resample, and calls back with these weights.
 * All statistics computed in one callback see the same resample, so that paired quantities stay paired.
 */
export function resample(
  n: number,
  options: Partial<ResampleOptions> | undefined,
  visit: (weights: Float64Array, resample: number) => void,
): void {
  const { resamples, seed, strata } = resolveOptions('resample', defaults, options);
  checkInteger('resamples', resamples, 1);
  if (strata.length !== 0 && strata.length !== n)
    throw invalidArgument('strata', `${n} values, one per unit`, strata.length);
  const members = new Map<number, number[]>();
  for (let unit = 0; unit < n; unit++) {
    const stratum = strata.length === 0 ? 0 : strata[unit];
    const list = members.get(stratum);
    if (list) list.push(unit);
    else members.set(stratum, [unit]);
  }
  const random = new Random(seed);
  const weights = new Float64Array(n);
  for (let r = 0; r < resamples; r++) {
    weights.fill(0);
    for (const units of members.values()) {
      for (let i = 0; i < units.length; i++) weights[units[random.integer(units.length)]]++;
    }
    visit(weights, r);
  }
}

/**
 * Joins small strata until none holds fewer than `fewest` units or one is left: drawing within a stratum of
 * one unit would always give that unit back and make an interval of no width.
 *
 * @returns stratum of every unit
 */
export function joinSmallStrata(strata: ArrayLike<number>, fewest = 5): Int32Array {
  const members = new Map<number, number[]>();
  for (let unit = 0; unit < strata.length; unit++) {
    const list = members.get(strata[unit]);
    if (list) list.push(unit);
    else members.set(strata[unit], [unit]);
  }
  const joined = [...members.values()];
  for (;;) {
    joined.sort((a, b) => a.length - b.length || a[0] - b[0]);
    if (joined.length < 2 || joined[0].length >= fewest) break;
    const [smallest, next] = joined.splice(0, 2);
    joined.push([...smallest, ...next].sort((a, b) => a - b));
  }
  const result = new Int32Array(strata.length);
  for (const [stratum, units] of joined.entries()) for (const unit of units) result[unit] = stratum;
  return result;
}

/** Column means and their bootstrap distributions over one shared set of resamples. */
export interface ResampledMeans {
  readonly units: number;
  /** Mean of every column over the units that have a value; NaN where none has. */
  readonly means: Float64Array;
  /** [columns][resamples] */
  readonly resampled: readonly Float64Array[];
}

/**
 * Means of many columns on the same bootstrap resamples of units. NaN marks a unit without a value in a
 * column; it is left out of that column's mean only.
 *
 * @param columns [columns][units]
 */
export function resampleMeans(
  columns: readonly Float64Array[],
  options?: Partial<ResampleOptions>,
): ResampledMeans {
  const units = columns[0]?.length ?? 0;
  for (const column of columns) {
    if (column.length !== units)
      throw invalidArgument('columns', `columns of ${units} values`, column.length);
  }
  const prepared = columns.map((column) => {
    const present = column.some(Number.isNaN) ? column.map((x) => (Number.isNaN(x) ? 0 : 1)) : null;
    return { values: present ? column.map((x) => (Number.isNaN(x) ? 0 : x)) : column, present };
  });
  const resamples = options?.resamples ?? defaults.resamples;
  const resampled = columns.map(() => new Float64Array(resamples));
  resample(units, options, (weights, r) => {
    for (const [c, { values, present }] of prepared.entries()) {
      resampled[c][r] = dot(weights, values) / (present ? dot(weights, present) : units);
    }
  });
  const ones = new Float64Array(units).fill(1);
  const means = Float64Array.from(
    prepared,
    ({ values, present }) => dot(ones, values) / (present ? dot(ones, present) : units),
  );
  return { units, means, resampled };
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * Interval of a statistic of the column means, from the shared resamples; e.g. a difference, a rank
 * correlation.
 */
export function intervalOfMeans(
  source: ResampledMeans,
  statistic: (means: Float64Array) => number,
  level = 0.95,
): Interval {
  const estimate = statistic(source.means);
  if (source.units < 2 || source.resampled.length === 0)
    return { estimate, low: Number.NaN, high: Number.NaN };
  const row = new Float64Array(source.resampled.length);
  const drawn = Float64Array.from(source.resampled[0], (_, r) => {
    for (let c = 0; c < row.length; c++) row[c] = source.resampled[c][r];
    return statistic(row);
  });
  return percentileInterval(estimate, drawn, level);
}

/** Percentile interval; resamples in which the statistic does not exist (NaN) are left out. Sorts `drawn`. */
export function percentileInterval(estimate: number, drawn: Float64Array, level = 0.95): Interval {
  checkNumber('level', level, { above: 0, below: 1 });
  // Typed arrays sort NaN last.
  drawn.sort();
  let defined = drawn.length;
  while (defined > 0 && Number.isNaN(drawn[defined - 1])) defined--;
  if (Number.isNaN(estimate) || defined < 2) return { estimate, low: Number.NaN, high: Number.NaN };
  const finite = drawn.subarray(0, defined);
  const tail = (1 - level) / 2;
  return { estimate, low: quantile(finite, tail), high: quantile(finite, 1 - tail) };
}
