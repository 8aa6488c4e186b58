import { checkInteger, checkNumber, checkOneOf } from '../checks.js';
import { invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import { defaultBlurRadius } from './images/baseline.js';
import type { BaselineKind, DecisionRule, PrepareOptions } from './types.js';

/** PrepareOptions with every default filled in. */
export interface ResolvedPrepareOptions {
  readonly baseline: BaselineKind;
  readonly blurRadius: number;
  readonly blurUnit: 'pixels' | 'relative';
  readonly noiseSeed: number;
  readonly textMasking: 'remove' | 'attend';
  readonly includeInstruction: boolean;
  readonly includeTemplate: boolean;
  readonly instruction: string;
  readonly choices: readonly string[] | undefined;
  readonly decisionRule: DecisionRule;
  readonly answerTokens: 'decision' | 'all';
  readonly answer: string | undefined;
  readonly maxNewTokens: number;
  readonly signal: AbortSignal | undefined;
}

const defaults: ResolvedPrepareOptions = {
  baseline: 'blur',
  blurRadius: defaultBlurRadius,
  blurUnit: 'relative',
  noiseSeed: 0,
  textMasking: 'remove',
  includeInstruction: false,
  includeTemplate: false,
  instruction: '',
  choices: undefined,
  decisionRule: 'words',
  answerTokens: 'decision',
  answer: undefined,
  maxNewTokens: 32,
  signal: undefined,
};

/** Fills in the defaults and checks every value before any work starts. */
export function resolvePrepareOptions(given: PrepareOptions | undefined): ResolvedPrepareOptions {
  const options = resolveOptions('prepare', defaults, given);
  checkOneOf('baseline', options.baseline, ['blur', 'mean', 'noise']);
  checkOneOf('blurUnit', options.blurUnit, ['pixels', 'relative']);
  checkOneOf('textMasking', options.textMasking, ['remove', 'attend']);
  checkOneOf('decisionRule', options.decisionRule, ['words', 'published']);
  checkOneOf('answerTokens', options.answerTokens, ['decision', 'all']);
  checkNumber('blurRadius', options.blurRadius, { above: 0 });
  checkInteger('maxNewTokens', options.maxNewTokens, 1);
  if (typeof options.instruction !== 'string') {
    throw invalidArgument('instruction', 'a string', options.instruction);
  }
  const { choices, answer } = options;
  if (
    choices !== undefined &&
    !(Array.isArray(choices) && choices.every((c) => typeof c === 'string' && c !== ''))
  ) {
    throw invalidArgument('choices', 'an array of non-empty strings', choices);
  }
  if (answer !== undefined && (typeof answer !== 'string' || answer.trim() === '')) {
    throw invalidArgument('answer', 'a string that is not empty', answer);
  }
  return options;
}
