import { checkOneOf } from '../../checks.js';

const TARGETS = ['contrast', 'logit', 'log-probability', 'probability'] as const;

/**
 * What is explained: of the decision token its logit, log-probability or probability, or its logit's lead
 * over that of the token that the model would have said instead (`contrast`), which is what decides. What
 * raises all logits alike cancels in all but `logit`.
 */
export type Target = (typeof TARGETS)[number];

export const DEFAULT_TARGET: Target = 'contrast';

/** @throws FsynError `INVALID_ARGUMENT` */
export function checkTarget(target: Target): Target {
  checkOneOf('target', target, TARGETS);
  return target;
}

export interface Explained {
  readonly value: number;
  /** Gradient of the value with respect to the logits. */
  readonly seed: Float32Array;
}

/** The explained value of a row of logits and its gradient there. */
export function explainedOf(
  row: Float32Array,
  token: number,
  rival: number | undefined,
  target: Target = 'logit',
): Explained {
  const seed = new Float32Array(row.length);
  seed[token] = 1;
  const logit = row[token];
  if (target === 'logit' || target === 'contrast') {
    if (rival !== undefined) seed[rival] = -1;
    return { value: rival === undefined ? logit : logit - row[rival], seed };
  }
  const largest = row.reduce((a, b) => Math.max(a, b));
  const exponentials = Float64Array.from(row, (value) => Math.exp(value - largest));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  const probability = exponentials[token] / total;
  const factor = target === 'probability' ? probability : 1;
  for (const [i, value] of exponentials.entries()) {
    seed[i] = factor * (seed[i] - value / total);
  }
  return { value: target === 'probability' ? probability : logit - largest - Math.log(total), seed };
}
