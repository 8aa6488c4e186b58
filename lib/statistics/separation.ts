import type { Interval } from './bootstrap.js';
import { percentileInterval, type ResampleOptions, resample } from './resample.js';

/** How well a score tells two kinds of samples apart. */
export interface Separation extends Interval {
  readonly positives: number;
  readonly negatives: number;
}

/**
 * Area under the ROC curve: the probability that a random positive scores above a random negative, ties counting half
 * (Mann-Whitney U / (m n)). The interval draws positives and negatives separately. NaN when one side is empty.
 */
export function rocAuc(
  positive: ArrayLike<number>,
  negative: ArrayLike<number>,
  options?: Partial<Omit<ResampleOptions, 'strata'>>,
): Separation {
  const positives = positive.length;
  const negatives = negative.length;
  const n = positives + negatives;
  const scores = Float64Array.from({ length: n }, (_, i) =>
    i < positives ? positive[i] : negative[i - positives],
  );
  const order = Int32Array.from(scores, (_, i) => i).sort((a, b) => scores[a] - scores[b] || a - b);
  const area = (weights: Float64Array): number => {
    let below = 0;
    let sum = 0;
    for (let start = 0; start < n; ) {
      let end = start;
      let tiedPositive = 0;
      let tiedNegative = 0;
      for (; end < n && scores[order[end]] === scores[order[start]]; end++) {
        if (order[end] < positives) tiedPositive += weights[order[end]];
        else tiedNegative += weights[order[end]];
      }
      sum += tiedPositive * (below + tiedNegative / 2);
      below += tiedNegative;
      start = end;
    }
    return sum / (positives * negatives);
  };
  const estimate = area(new Float64Array(n).fill(1));
  if (positives < 2 || negatives < 2)
    return { estimate, low: Number.NaN, high: Number.NaN, positives, negatives };
  const strata = Uint8Array.from(scores, (_, i) => (i < positives ? 1 : 0));
  const drawn: number[] = [];
  resample(n, { ...options, strata }, (weights) => void drawn.push(area(weights)));
  return { ...percentileInterval(estimate, Float64Array.from(drawn)), positives, negatives };
}
