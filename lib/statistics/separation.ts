import { invalidArgument } from '../errors.js';
import type { Interval } from './bootstrap.js';
import { percentileInterval, type ResampleOptions, resample } from './resample.js';

/** How well a score tells two kinds of samples apart. */
export interface Separation extends Interval {
  readonly positives: number;
  readonly negatives: number;
}

type Options = Partial<Omit<ResampleOptions, 'strata'>>;

/**
 * Area under the ROC curve: the probability that a random positive scores above a random negative, ties
 * counting half (Mann-Whitney U / (m n)). The interval draws positives and negatives separately. NaN when one
 * side is empty.
 */
export function rocAuc(
  positive: ArrayLike<number>,
  negative: ArrayLike<number>,
  options?: Options,
): Separation {
  const scores = Float64Array.from([...Array.from(positive), ...Array.from(negative)]);
  const isPositive = Uint8Array.from(scores, (_, i) => (i < positive.length ? 1 : 0));
  return rocAucs([scores], isPositive, options)[0];
}

/**
 * ROC areas of several scores of the same samples, on the same resamples. NaN marks a sample without a score;
 * it is left out of that score's area only.
 *
 * @param columns [columns][samples]
 * @param isPositive one byte per sample: 1 positive, 0 negative
 */
export function rocAucs(
  columns: readonly Float64Array[],
  isPositive: Uint8Array,
  options?: Options,
): Separation[] {
  for (const column of columns) {
    if (column.length !== isPositive.length)
      throw invalidArgument('columns', `columns of ${isPositive.length} values`, column.length);
  }
  const areas = columns.map((column) => areaOf(column, isPositive));
  const weights = new Float64Array(isPositive.length).fill(1);
  const estimates = areas.map((area) => area(weights));
  const drawn = columns.map((): number[] => []);
  if (isPositive.length > 0 && columns.length > 0) {
    resample(isPositive.length, { ...options, strata: isPositive }, (drawnWeights) => {
      for (let c = 0; c < areas.length; c++) drawn[c].push(areas[c](drawnWeights));
    });
  }
  return columns.map((column, c) => {
    const present = (side: number) =>
      column.reduce((count, score, i) => count + (isPositive[i] === side && !Number.isNaN(score) ? 1 : 0), 0);
    const [negatives, positives] = [present(0), present(1)];
    const interval =
      positives < 2 || negatives < 2
        ? { estimate: estimates[c], low: Number.NaN, high: Number.NaN }
        : percentileInterval(estimates[c], Float64Array.from(drawn[c]));
    return { ...interval, positives, negatives };
  });
}

/** The area for whole-number weights of the samples; sorting is done once. NaN when a side has no weight. */
function areaOf(scores: Float64Array, isPositive: Uint8Array): (weights: Float64Array) => number {
  const order = Int32Array.from(scores, (_, i) => i)
    .filter((i) => !Number.isNaN(scores[i]))
    .sort((a, b) => scores[a] - scores[b] || a - b);
  return (weights) => {
    let below = 0;
    let above = 0;
    let sum = 0;
    for (let start = 0; start < order.length; ) {
      const score = scores[order[start]];
      let tiedPositive = 0;
      let tiedNegative = 0;
      let end = start;
      for (; end < order.length && scores[order[end]] === score; end++) {
        if (isPositive[order[end]] === 1) tiedPositive += weights[order[end]];
        else tiedNegative += weights[order[end]];
      }
      sum += tiedPositive * (below + tiedNegative / 2);
      below += tiedNegative;
      above += tiedPositive;
      start = end;
    }
    return sum / (below * above);
  };
}
