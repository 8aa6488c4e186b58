import type { Interval } from '../statistics/bootstrap.js';
import { intervalOfMeans, resampleMeans } from '../statistics/resample.js';
import { holm, signedRankTest } from '../statistics/tests.js';

/** One explainer against another on the samples that both have. */
export interface Comparison {
  readonly one: string;
  readonly other: string;
  readonly samples: number;
  /** Mean of one - other with its paired bootstrap interval. */
  readonly difference: Interval;
  /** Share of samples on which one is larger, ties counting half. */
  readonly wins: number;
  /** Two-sided Wilcoxon signed-rank p-value; NaN without common samples. */
  readonly pValue: number;
  /** Holm's correction over the family that was compared together. */
  readonly adjusted: number;
  /**
   * 1 where one is told apart above other, -1 below: the interval excludes zero and the adjusted p-value is
   * below 0.05.
   */
  readonly verdict: -1 | 0 | 1;
}

export interface Compared {
  readonly name: string;
  /** [units], NaN where missing. */
  readonly values: Float64Array;
}

export interface ComparisonOptions {
  readonly resamples: number;
  readonly seed: number;
  readonly strata: Int32Array;
}

/** Compares the given pairs as one family. */
export function comparePairs(
  pairs: readonly (readonly [Compared, Compared])[],
  options: ComparisonOptions,
): Comparison[] {
  const columns = pairs.map(([one, other]) => one.values.map((value, i) => value - other.values[i]));
  if (columns.length === 0) return [];
  const resampled = resampleMeans(columns, options);
  const kept = columns.map((column) => column.filter((value) => !Number.isNaN(value)));
  const pValues = kept.map((column) => (column.length > 0 ? signedRankTest(column).pValue : Number.NaN));
  const adjusted = holm(pValues);
  return pairs.map(([one, other], i) => {
    const difference =
      kept[i].length > 1
        ? intervalOfMeans(resampled, (means) => means[i])
        : { estimate: resampled.means[i], low: Number.NaN, high: Number.NaN };
    const significant = adjusted[i] < 0.05;
    return {
      one: one.name,
      other: other.name,
      samples: kept[i].length,
      difference,
      wins: kept[i].reduce((sum, d) => sum + (d > 0 ? 1 : d === 0 ? 0.5 : 0), 0) / kept[i].length,
      pValue: pValues[i],
      adjusted: adjusted[i],
      verdict: significant && difference.low > 0 ? 1 : significant && difference.high < 0 ? -1 : 0,
    };
  });
}

/** Every pair once, in the order given. */
export function allPairs(items: readonly Compared[]): [Compared, Compared][] {
  return items.flatMap((one, i) => items.slice(i + 1).map((other): [Compared, Compared] => [one, other]));
}
