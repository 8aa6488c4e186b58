/** A word, number or single letter of an answer, whole. */
export interface Word {
  readonly text: string;
  /** Half-open range of characters in the answer. */
  readonly start: number;
  readonly end: number;
}

/**
 * Latin letters and digits are told apart from the letters of other scripts, many of which put no blanks
 * between words.
 */
const latin = String.raw`[\p{Script=Latin}\p{M}\p{N}]`;
const other = String.raw`(?:(?!\p{Script=Latin})[\p{L}\p{M}])`;
/**
 * A sign or point in front of digits belongs to the number, unless something stands before it that it could
 * join.
 */
const front = String.raw`(?:(?<![\p{L}\p{M}\p{N}])[-+\u2212](?=\.?\p{N}))?(?:(?<![\p{L}\p{M}\p{N}])\.(?=\p{N}))?`;
/**
 * Inside a word: hyphens, apostrophes, underscores; inside a number also the signs of decimals, thousands,
 * times and fractions.
 */
const joint = (letters: string) =>
  String.raw`(?:[-_'\u2019\u2010\u2011](?=${letters})|(?<=\p{N})[.,:/](?=\p{N}))`;
const run = (letters: string) => `${letters}+(?:${joint(letters)}${letters}+)*`;
const word = new RegExp(`${front}(?:${run(latin)}|${run(other)})`, 'gu');

/** The words of a text, in order. Blanks, punctuation and a change of script end a word. */
export function wordsOf(text: string): Word[] {
  return Array.from(text.matchAll(word), (match) => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  }));
}

/** A text as it is compared: composed (NFC), in lower case, with one minus sign. */
export function folded(text: string): string {
  return text.normalize('NFC').toLowerCase().replaceAll('\u2212', '-');
}
