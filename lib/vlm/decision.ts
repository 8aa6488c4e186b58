import type { DecisionKind } from './types.js';

export interface Decision {
  readonly index: number;
  readonly kind: DecisionKind;
}

/**
 * Finds the answer token that carries the decision.
 *
 * With `choices`: the choice letter, scored by its surroundings as the reference implementation scores it (section 3 of
 * its behaviour: own punctuation +2, first token or structural/empty predecessor, structural/empty successor, last token,
 * neighbouring arithmetic; equal scores go to the later token). Otherwise the first token that reads yes or no.
 * Otherwise the first token with a letter or digit.
 *
 * @param texts the answer's tokens as text, without the closing control token; at least one
 * @param choices choice letters, or undefined for other questions
 */
export function findDecision(texts: readonly string[], choices: readonly string[] | undefined): Decision {
  if (choices !== undefined && choices.length > 0) {
    const index = findChoice(texts, choices);
    if (index >= 0) return { index, kind: 'choice' };
  } else {
    const index = texts.findIndex((text) => /^(yes|no)$/.test(bare(text)));
    if (index >= 0) return { index, kind: 'yes-no' };
  }
  const content = texts.findIndex((text) => /[\p{L}\p{N}]/u.test(text));
  return { index: Math.max(0, content), kind: 'content' };
}

/** Lower case, without punctuation and surrounding white space. */
function bare(text: string): string {
  return text
    .replace(/[\p{P}\p{S}]/gu, '')
    .trim()
    .toLowerCase();
}

const leadWords = new Set(['answer', 'is', 'option', ':', '(', '\n']);
const closers = /^[).:\],]/;
const arithmetic = /[+\-*/=<>^]|\d/;

function isEmpty(text: string | undefined): boolean {
  return text === undefined || text.trim() === '';
}

function leads(previous: string): boolean {
  const text = previous.trim().toLowerCase();
  return text === '' || leadWords.has(text) || text.endsWith('(') || text.endsWith(':');
}

function findChoice(texts: readonly string[], choices: readonly string[]): number {
  const letters = new Set(choices.map((choice) => bare(choice)));
  let best = -1;
  let bestScore = Number.NEGATIVE_INFINITY;
  let candidates = 0;
  for (const [index, text] of texts.entries()) {
    const alphanumeric = text.match(/[\p{L}\p{N}]/gu) ?? [];
    if (alphanumeric.length !== 1 || !letters.has(alphanumeric[0].toLowerCase())) continue;
    candidates++;
    const score = choiceScore(texts, index);
    if (score >= bestScore) {
      best = index;
      bestScore = score;
    }
  }
  return bestScore > -1 || candidates === 1 ? best : -1;
}

function choiceScore(texts: readonly string[], index: number): number {
  const previous = texts[index - 1];
  const next = texts[index + 1];
  let score = /[().:]/.test(texts[index]) ? 2 : 0;
  if (previous === undefined) score += 5;
  else if (leads(previous)) score += 3;
  if (next === undefined || isEmpty(next) || closers.test(next.trim())) score += 3;
  if (next === undefined) score += 3;
  if (previous !== undefined && arithmetic.test(previous)) score -= 10;
  if (next !== undefined && arithmetic.test(next)) score -= 10;
  return score <= 0 ? -5 : score;
}
