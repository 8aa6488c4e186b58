import type { EncodedText, TextTokenizer } from './tokenizer.js';

/** A text with its tokens. */
export interface TokenisedText extends EncodedText {
  readonly text: string;
}

/**
 * Whether a token found at [start, end) stands for text: the unknown token does, though it is listed with the
 * control tokens.
 */
export function standsForText(tokenizer: TextTokenizer, id: number, start: number, end: number): boolean {
  return !tokenizer.isSpecial(id) || (tokenizer.isUnknown(id) && end > start);
}

/**
 * What a token is called: its own text, or the text that it was found at where it does not say it, as unknown
 * tokens and bytes of a character do. The bytes of one character are told apart by their number: `日 2/3`.
 */
export function labelOf(
  tokenizer: TextTokenizer,
  { text, ids, spans }: TokenisedText,
  index: number,
): string {
  const own = tokenizer.tokenText(ids[index]);
  const [start, end] = [spans[index * 2], spans[index * 2 + 1]];
  const source = text.slice(start, end);
  const partial = own.includes('\ufffd') && !source.includes('\ufffd');
  if (!partial && !tokenizer.isUnknown(ids[index])) return own.trim() || own;
  const shares = (i: number): boolean => spans[i * 2] === start && spans[i * 2 + 1] === end && end > start;
  let first = index;
  let last = index;
  while (first > 0 && shares(first - 1)) first--;
  while (shares(last + 1)) last++;
  const shown = source.trim() || source || own;
  return first === last ? shown : `${shown} ${index - first + 1}/${last - first + 1}`;
}
