import type { Decision } from '../types.js';

/**
 * The decision token as the published code finds it (section 3 of the reference behaviour), by looking at
 * tokens alone: the first piece of a longer word counts as a word, the article "a" as a choice.
 *
 * With `choices`: the choice letter, scored by its surroundings (own punctuation +2, first token or
 * structural/empty predecessor, structural/empty successor, last token, neighbouring arithmetic; equal scores
 * go to the later token). Otherwise the first token that reads yes or no. Otherwise the first token with a
 * letter or digit.
 */
export function publishedDecision(
  texts: readonly string[],
  choices: readonly string[] | undefined,
): Decision {
  const decide = (index: number, kind: Decision['kind']) => ({ index, kind, text: texts[index].trim() });
  if (choices !== undefined && choices.length > 0) {
    const index = findChoice(texts, choices);
    if (index >= 0) return decide(index, 'choice');
  } else {
    const index = texts.findIndex((text) => /^(yes|no)$/.test(bare(text)));
    if (index >= 0) return decide(index, 'yes-no');
  }
  const content = texts.findIndex((text) => /[\p{L}\p{N}]/u.test(text));
  return decide(Math.max(0, content), 'content');
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
