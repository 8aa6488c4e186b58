import type { Decision, DecisionRule } from '../types.js';
import { findChoice } from './choice.js';
import { publishedDecision } from './published.js';
import { folded, type Word, wordsOf } from './words.js';

/**
 * Finds what an answer decides.
 *
 * With `choices`: the choice that the answer names as a word of its own. Otherwise the first word `yes` or
 * `no`. Otherwise the first word or number.
 *
 * @param texts the answer's tokens as text, which joined are the answer, without the closing control token;
 *   at least one
 * @param choices choice letters (or words), or undefined for other questions
 */
export function findDecision(
  texts: readonly string[],
  choices: readonly string[] | undefined,
  rule: DecisionRule = 'words',
): Decision {
  if (rule === 'published') return publishedDecision(texts, choices);
  const text = texts.join('');
  const words = wordsOf(text);
  const multiple = choices !== undefined && choices.length > 0;
  const named = multiple
    ? findChoice(text, words, choices)
    : words.find((word) => ['yes', 'no'].includes(folded(word.text)));
  const deciding = named ?? words[0];
  if (deciding === undefined) return { index: 0, kind: 'content', text: text.trim() };
  return {
    index: tokenOf(texts, deciding),
    kind: named === undefined ? 'content' : multiple ? 'choice' : 'yes-no',
    text: deciding.text,
  };
}

/**
 * The token that holds the first letter or digit of a word: a sign before a number may be a token of its own.
 */
function tokenOf(texts: readonly string[], { text, start }: Word): number {
  const first = start + text.search(/[\p{L}\p{M}\p{N}]/u);
  let end = 0;
  return texts.findIndex((token) => {
    end += token.length;
    return end > first;
  });
}
