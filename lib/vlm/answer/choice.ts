import { folded, type Word, wordsOf } from './words.js';

/** Words before a letter that say that a letter comes. */
const leads = new Set(['answer', 'is', 'option', 'choice', 'letter']);
/** Of these, the ones that no article follows either. */
const names = new Set(['option', 'choice', 'letter']);
/** Words that may follow a letter that is named, and never an article or a pronoun. */
const afterLetter = new Set(
  'is are because since as and or but not for seems fits matches shows it the this that there es est ist è é'.split(
    ' ',
  ),
);
/** Words that rule out the choice behind them. */
const negations = new Set(['not', 'neither', 'nor']);
/** Letters that are words in languages of Latin script. */
const wordLetters = new Set('aeiouykvwsz');

/**
 * The choice that an answer names: a word of its own that is one of the choices, scored by its surroundings
 * as the published code scores tokens (own punctuation +2, at the front +5 or after a leading word +3, before
 * a closing sign or line end +3, last +3, beside arithmetic or ruled out -10; equal scores go to the later
 * one). A single candidate needs no good surroundings.
 */
export function findChoice(
  text: string,
  words: readonly Word[],
  choices: readonly string[],
): Word | undefined {
  const wanted = choices.map((choice) => wordsOf(choice).map((part) => folded(part.text)));
  const candidates = words.flatMap((_, i) => candidateAt(text, words, i, wanted));
  let best: { word: Word; score: number } | undefined;
  for (const candidate of candidates)
    if (best === undefined || candidate.score >= best.score) best = candidate;
  return best !== undefined && (best.score > 0 || candidates.length === 1) ? best.word : undefined;
}

function candidateAt(
  text: string,
  words: readonly Word[],
  i: number,
  wanted: readonly (readonly string[])[],
): { word: Word; score: number }[] {
  const length = Math.max(
    0,
    ...wanted
      .filter((parts) => parts.length > 0 && parts.every((part, k) => isWord(words[i + k], part)))
      .map((parts) => parts.length),
  );
  if (length === 0) return [];
  const { start } = words[i];
  const { end } = words[i + length - 1];
  const before = words[i - 1];
  const after = words[i + length];
  const around = { text, start, end, before, after };
  if (isPartOfSentence(around)) return [];
  return [{ word: { text: text.slice(start, end), start, end }, score: scoreOf(around) }];
}

function isWord(word: Word | undefined, folding: string): boolean {
  return word !== undefined && folded(word.text) === folding;
}

interface Surroundings {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** The words beside it. */
  readonly before: Word | undefined;
  readonly after: Word | undefined;
}

/**
 * Whether a letter is the article "a", the pronoun "I" or another small word: it runs on into the next one.
 * In capitals only "I" does so inside a sentence, "A" at its front.
 */
function isPartOfSentence({ text, start, end, before, after }: Surroundings): boolean {
  const letter = text.slice(start, end);
  if (!wordLetters.has(letter.toLowerCase()) || after === undefined) return false;
  const small = letter === letter.toLowerCase();
  const front = /(?:^|[.!?:\n])[^\p{L}\p{N}]*$/u.test(text.slice(0, start));
  if (!small && letter !== 'I' && !(letter === 'A' && front)) return false;
  if (!/^[^\S\n]+$/u.test(text.slice(end, after.start)) || !/^\p{Script=Latin}/u.test(after.text))
    return false;
  return !afterLetter.has(folded(after.text)) && !(before && names.has(folded(before.text)));
}

function scoreOf({ text, start, end, before }: Surroundings): number {
  // Marks of emphasis and quotation around a choice say nothing about it.
  const left = text.slice(0, start).replace(/[*_"'`“”‘’]+$/u, '');
  const right = text.slice(end).replace(/^[*_"'`“”‘’]+/u, '');
  let score = /[(:]$/u.test(left) || /^(?:[):]|\.\s+\S)/u.test(right) ? 2 : 0;
  if (left.trim() === '') score += 5;
  else if (/[(:\n]\s*$/u.test(left) || (before && leads.has(folded(before.text)))) score += 3;
  if (/^[^\S\n]*(?:[).:\],\n]|$)/u.test(right)) score += 3;
  if (right.trim() === '') score += 3;
  if (isOperand(left, right)) score -= 10;
  if (before && negations.has(folded(before.text))) score -= 10;
  return score;
}

/**
 * Whether a sign of arithmetic ties a letter to a number or to another letter: a variable of a formula is no
 * answer.
 */
function isOperand(left: string, right: string): boolean {
  return (
    /(?:(?:^|\W)[\p{L}\p{N}]\s*[+*/=<>^]|\p{N}\s*[-\u2212])\s*$/u.test(left) ||
    /^\s*(?:[+*/=<>^]\s*[\p{L}\p{N}](?:\W|$)|[+*/=<>^\u2212-]\s*\p{N})/u.test(right)
  );
}
