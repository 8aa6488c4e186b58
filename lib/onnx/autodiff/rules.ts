import { activationRules } from './activations.js';
import { contribRules } from './contrib.js';
import { elementwiseRules } from './elementwise.js';
import { indexingRules } from './indexing.js';
import { normalisationRules } from './normalisation.js';
import { productRules } from './products.js';
import { reductionRules } from './reductions.js';
import type { Rules } from './rule.js';
import { shapeRules } from './shapes.js';

export const rules: Rules = {
  ...elementwiseRules,
  ...activationRules,
  ...productRules,
  ...shapeRules,
  ...indexingRules,
  ...reductionRules,
  ...normalisationRules,
  ...contribRules,
};

/** Operators whose outputs do not change, or change only in steps, with any input: gradients end there. */
export const constantOperators: ReadonlySet<string> = new Set([
  'And',
  'ArgMax',
  'ArgMin',
  'Ceil',
  'Constant',
  'ConstantOfShape',
  'Equal',
  'EyeLike',
  'Floor',
  'Greater',
  'GreaterOrEqual',
  'IsInf',
  'IsNaN',
  'Less',
  'LessOrEqual',
  'NonZero',
  'Not',
  'OneHot',
  'Or',
  'Range',
  'Round',
  'Shape',
  'Sign',
  'Size',
]);
