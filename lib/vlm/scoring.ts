import { FsynError } from '../errors.js';

/**
 * Natural log-softmax of one row at one index.
 * Summed in double from the model's float32 logits, then rounded to float32.
 *
 * @throws FsynError INFERENCE when the row is not finite
 * @param logits row-major rows of `vocabulary` values
 * @param row index of the row
 * @param index column whose log-probability is wanted
 */
export function logSoftmaxAt(logits: Float32Array, vocabulary: number, row: number, index: number): number {
  const start = row * vocabulary;
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = start; i < start + vocabulary; i++) largest = Math.max(largest, logits[i]);
  let sum = 0;
  for (let i = start; i < start + vocabulary; i++) sum += Math.exp(logits[i] - largest);
  const score = Math.fround(logits[start + index] - largest - Math.log(sum));
  if (Number.isNaN(score)) throw new FsynError('INFERENCE', 'The model gave logits that are not finite.');
  return score;
}

/**
 * Natural log-softmax of one row, summed in double from float32 logits and rounded to float32, as
 * `logSoftmaxAt` does.
 */
export function logSoftmax(logits: Float32Array): Float32Array {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  const shift = Math.log(sum);
  return logits.map((logit) => logit - largest - shift);
}

/** Index of the largest value of a row; ties go to the lower index. */
export function argmaxRow(logits: Float32Array, vocabulary: number, row: number): number {
  const start = row * vocabulary;
  let best = 0;
  for (let i = 1; i < vocabulary; i++) if (logits[start + i] > logits[start + best]) best = i;
  return best;
}
