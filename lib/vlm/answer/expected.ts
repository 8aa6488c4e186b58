import type { Answer } from '../types.js';
import { folded } from './words.js';

/**
 * Whether a model said what was expected. What decides is compared whole: the choice, or yes or no, that the
 * answer gives; of other answers the whole text.
 *
 * @returns null where there is no answer to judge: a dual encoder's similarity
 */
export function isExpected(
  { text, decision, decisionKind }: Pick<Answer, 'text' | 'decision' | 'decisionKind'>,
  expected: string,
): boolean | null {
  if (decisionKind === 'similarity') return null;
  if (sameAnswer(text, expected)) return true;
  return decisionKind !== 'content' && sameAnswer(decision, expected);
}

/**
 * Compares two answers the way a reader would: case, spelling of accents (NFC), runs of blanks and the
 * punctuation around them aside. What is inside counts, and so do the sign and the point of a number.
 */
export function sameAnswer(said: string, expected: string): boolean {
  return bare(said) === bare(expected);
}

function bare(text: string): string {
  const plain = folded(text).trim().replace(/\s+/gu, ' ');
  const core = plain
    .replace(/^(?:(?![-+.]+\p{N})[\s\p{P}])+/u, '')
    .replace(/[\s.,;:!?…。、，！？；：)\]}"'“”‘’«»*_`]+$/u, '');
  // Signs alone are compared as they are.
  return core === '' ? plain : core;
}
