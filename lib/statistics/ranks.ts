import { invalidArgument } from '../errors.js';

/**
 * Ranks 1..n of the values, smallest first; equal values share the mean of their ranks.
 *
 * @throws FsynError INVALID_ARGUMENT for values that are not finite: NaN has no rank
 */
export function ranks(values: ArrayLike<number>): Float64Array {
  requireFinite('values', values);
  const order = Array.from({ length: values.length }, (_, i) => i).sort(
    (a, b) => values[a] - values[b] || a - b,
  );
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]] === values[order[start]]) end++;
    for (let i = start; i < end; i++) result[order[i]] = (start + end + 1) / 2;
    start = end;
  }
  return result;
}

/**
 * Pearson correlation; NaN when either side is constant or there are fewer than two pairs. Values of any
 * finite size: they are brought to 0..1 first, so that nothing overflows.
 *
 * @throws FsynError INVALID_ARGUMENT for sides of different lengths and for values that are not finite
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number {
  requirePairs(x, y);
  return weightedPearson(x, y, new Float64Array(x.length).fill(1));
}

/**
 * Pearson correlation of rows that count as often as their weights (>= 0) say; NaN when either side is
 * constant among the rows that count.
 *
 * @param x finite values, as many as there are weights; y likewise
 */
export function weightedPearson(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  weights: ArrayLike<number>,
): number {
  const [ofX, ofY] = [spanOf(x, weights), spanOf(y, weights)];
  if (!ofX || !ofY) return Number.NaN;
  let total = 0;
  let sumX = 0;
  let sumY = 0;
  for (let i = 0; i < x.length; i++) {
    if (weights[i] === 0) continue;
    total += weights[i];
    sumX += weights[i] * within(ofX, x[i]);
    sumY += weights[i] * within(ofY, y[i]);
  }
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < x.length; i++) {
    if (weights[i] === 0) continue;
    const dx = within(ofX, x[i]) - sumX / total;
    const dy = within(ofY, y[i]) - sumY / total;
    xx += weights[i] * dx * dx;
    yy += weights[i] * dy * dy;
    xy += weights[i] * dx * dy;
  }
  return xy / Math.sqrt(xx * yy);
}

/** Where values lie: value -> (value * factor - low) / width is 0..1. */
interface Span {
  readonly low: number;
  readonly width: number;
  readonly factor: number;
}

/** Null when all values with a weight are the same: asked of the values, because their mean is rounded. */
function spanOf(values: ArrayLike<number>, weights: ArrayLike<number>): Span | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    if (weights[i] === 0) continue;
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  if (!(low < high)) return null;
  // The difference of two finite numbers may overflow, that of their halves does not.
  const factor = Number.isFinite(high - low) ? 1 : 0.5;
  return { low: low * factor, width: high * factor - low * factor, factor };
}

function within({ low, width, factor }: Span, value: number): number {
  return (value * factor - low) / width;
}

/**
 * Spearman rank correlation (ties by mean ranks); NaN when either side is constant or there are fewer than
 * two pairs.
 *
 * @throws FsynError INVALID_ARGUMENT for sides of different lengths and for values that are not finite
 */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number {
  requirePairs(x, y);
  return pearson(ranks(x), ranks(y));
}

/**
 * Kendall's tau-b (corrected for ties); NaN when either side is constant.
 *
 * @throws FsynError INVALID_ARGUMENT for sides of different lengths and for values that are not finite
 */
export function kendall(x: ArrayLike<number>, y: ArrayLike<number>): number {
  requirePairs(x, y);
  let score = 0;
  let untiedX = 0;
  let untiedY = 0;
  for (let i = 0; i < x.length; i++) {
    for (let j = i + 1; j < x.length; j++) {
      const dx = Math.sign(x[i] - x[j]);
      const dy = Math.sign(y[i] - y[j]);
      score += dx * dy;
      untiedX += dx * dx;
      untiedY += dy * dy;
    }
  }
  return untiedX > 0 && untiedY > 0 ? score / Math.sqrt(untiedX * untiedY) : Number.NaN;
}

function requirePairs(x: ArrayLike<number>, y: ArrayLike<number>): void {
  if (x.length !== y.length) throw invalidArgument('y', `${x.length} values, as many as x`, y.length);
  requireFinite('x', x);
  requireFinite('y', y);
}

/** Refuses NaN and infinities by their place. */
export function requireFinite(name: string, values: ArrayLike<number>): void {
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i])) throw invalidArgument(`${name}[${i}]`, 'a finite number', values[i]);
}
