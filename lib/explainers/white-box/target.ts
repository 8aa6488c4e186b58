import { invalidArgument } from '../../errors.js';
import { resolveOptions } from '../../options.js';
import type { Target } from './model.js';

export interface TargetOptions {
  /** `contrast` (default): the decision token's logit less that of the token the model would have said instead; or `logit`. */
  readonly target?: Target;
}

export const DEFAULT_TARGET: Target = 'contrast';

/** @throws FsynError `INVALID_ARGUMENT` */
export function checkTarget(target: Target): Target {
  if (target !== 'logit' && target !== 'contrast')
    throw invalidArgument('target', 'logit or contrast', target);
  return target;
}

export function resolveTarget(owner: string, given: TargetOptions | undefined): Target {
  return checkTarget(resolveOptions(owner, { target: DEFAULT_TARGET }, given).target);
}
