import { invalidArgument } from '../../errors.js';
import type { Target } from './model.js';

export const DEFAULT_TARGET: Target = 'contrast';

/** @throws FsynError `INVALID_ARGUMENT` */
export function checkTarget(target: Target): Target {
  if (target !== 'logit' && target !== 'contrast')
    throw invalidArgument('target', 'logit or contrast', target);
  return target;
}
