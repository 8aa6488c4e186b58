import { FsynError } from '../../errors.js';

/** A token as the alignment sees it. */
export interface AlignableToken {
  /** What messages call it. */
  readonly label: string;
  /** UTF-8 bytes of the text that it stands for. */
  readonly bytes: Uint8Array;
  /** An added token such as `<image>`: may be inserted by the tokenizer without any text. */
  readonly added: boolean;
  /** The unknown token: stands for text that cannot be told from the token. */
  readonly unknown: boolean;
}

/** Text as bytes after the tokenizer's normaliser, each byte tagged with the character that it came from. */
interface TaggedBytes {
  readonly bytes: Uint8Array;
  /**
   * [bytes + 1]: index of the UTF-16 unit at which the byte's character starts; the last is the text's
   * length.
   */
  readonly starts: Int32Array;
  /** [bytes]: end of that character, exclusive. */
  readonly ends: Int32Array;
}

function tag(text: string, normalise: ((piece: string) => string) | undefined): TaggedBytes {
  const encoder = new TextEncoder();
  const bytes: number[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  const pieces = normalise === undefined ? Array.from(text) : splitForNormaliser(text, normalise);
  let position = 0;
  for (const piece of pieces) {
    for (const byte of encoder.encode(normalise === undefined ? piece : normalise(piece))) {
      bytes.push(byte);
      starts.push(position);
      ends.push(position + piece.length);
    }
    position += piece.length;
  }
  starts.push(position);
  return { bytes: Uint8Array.from(bytes), starts: Int32Array.from(starts), ends: Int32Array.from(ends) };
}

/**
 * The smallest pieces that can be normalised on their own: characters with their marks, else whole graphemes
 * (Hangul).
 */
function splitForNormaliser(text: string, normalise: (piece: string) => string): string[] {
  const marked = text.match(/\P{M}\p{M}*|\p{M}+/gu) ?? [];
  if (marked.map(normalise).join('') === normalise(text)) return marked;
  const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(text);
  return Array.from(graphemes, (part) => part.segment);
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d);
}

function matches(bytes: Uint8Array, from: number, token: Uint8Array, tokenFrom: number): boolean {
  if (from + token.length - tokenFrom > bytes.length) return false;
  for (let i = tokenFrom; i < token.length; i++) {
    if (bytes[from + i - tokenFrom] !== token[i]) return false;
  }
  return true;
}

/**
 * Where a token begins and ends in the tagged bytes when it is next after `cursor`, or undefined when it is
 * not.
 */
function locate(bytes: Uint8Array, cursor: number, token: AlignableToken): [number, number] | undefined {
  if (matches(bytes, cursor, token.bytes, 0)) return [cursor, cursor + token.bytes.length];
  // A space that the tokenizer put in front of a word or a section, which the text does not have.
  if (token.bytes[0] === 0x20) {
    if (token.bytes.length === 1) return [cursor, cursor];
    if (matches(bytes, cursor, token.bytes, 1)) return [cursor, cursor + token.bytes.length - 1];
  }
  // White space that the tokenizer dropped: word splitters, and added tokens that strip their surroundings.
  let next = cursor;
  while (isSpace(bytes[next])) next++;
  if (next > cursor && matches(bytes, next, token.bytes, 0)) return [next, next + token.bytes.length];
  if (next > cursor && token.bytes[0] === 0x20 && matches(bytes, next, token.bytes, 1)) {
    return [next, next + token.bytes.length - 1];
  }
  return token.added ? [cursor, cursor] : undefined;
}

/**
 * Finds the character range of every token in the text that was tokenised.
 *
 * Tokenizers in JavaScript report no offsets, so the tokens' own spelling is walked along the text. Every
 * byte of every token must match; the only freedoms are the space that a tokenizer inserts, white space that
 * it drops, special tokens that it adds, and the unknown token, which takes what lies before the next known
 * one.
 *
 * @param text the tokenised text
 * @param normalise what the tokenizer does to text before it splits it, if anything
 * @returns [tokens, 2]: half-open ranges in UTF-16 units; empty for a token that stands for no text. A token
 *   that is part of a character covers the whole character.
 * @throws FsynError TOKENIZER when a token does not occur where it should
 */
export function alignTokens(
  text: string,
  tokens: readonly AlignableToken[],
  normalise?: (piece: string) => string,
): Int32Array {
  const { bytes, starts, ends } = tag(text, normalise);
  const spans = new Int32Array(tokens.length * 2);
  const put = (index: number, from: number, to: number): void => {
    spans[index * 2] = starts[from];
    spans[index * 2 + 1] = to > from ? ends[to - 1] : starts[from];
  };
  let cursor = 0;
  let unknown: number[] = [];
  for (const [index, token] of tokens.entries()) {
    if (token.unknown) {
      unknown.push(index);
      continue;
    }
    let found = locate(bytes, cursor, token);
    if (unknown.length > 0) {
      // Unknown tokens take at least one byte; a find that takes none does not end them.
      for (let at = cursor + 1; at <= bytes.length && (found === undefined || found[1] === cursor); at++) {
        found = matches(bytes, at, token.bytes, 0) ? [at, at + token.bytes.length] : undefined;
      }
      placeUnknown(bytes, put, unknown, cursor, found?.[0] ?? bytes.length);
      unknown = [];
    }
    if (found === undefined) {
      const near = JSON.stringify(text.slice(starts[cursor], starts[cursor] + 20));
      throw new FsynError(
        'TOKENIZER',
        `Cannot find token ${index} (${JSON.stringify(token.label)}) in the prompt at character ${starts[cursor]} (${near}); ` +
          "the tokenizer rewrites text in a way that its tokens' spelling does not show.",
      );
    }
    put(index, found[0], found[1]);
    cursor = found[1];
  }
  placeUnknown(bytes, put, unknown, cursor, bytes.length);
  return spans;
}

/** Unicode's \w, as the tokenizers' regular expressions have it. */
export const wordCharacters = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}';

/** How word splitters cut text; one of them must give as many pieces as there are unknown tokens. */
const wordPatterns = [
  new RegExp(`[${wordCharacters}]+|[^${wordCharacters}\\s]+`, 'gu'),
  new RegExp(`[${wordCharacters}]+|\\S`, 'gu'),
  /\S+/gu,
  /\S/gu,
  // The same with white space that is in no vocabulary either.
  new RegExp(`[${wordCharacters}]+|[^${wordCharacters}\\s]+|\\s+`, 'gu'),
  new RegExp(`[${wordCharacters}]+|\\S|\\s`, 'gu'),
  /./gsu,
];

/** Gives neighbouring unknown tokens the words of the text between the known ones. */
function placeUnknown(
  bytes: Uint8Array,
  put: (index: number, from: number, to: number) => void,
  tokens: readonly number[],
  from: number,
  to: number,
): void {
  if (tokens.length === 0) return;
  const encoder = new TextEncoder();
  const text = new TextDecoder().decode(bytes.subarray(from, to));
  // A single one takes everything, inner white space included; a tab or a line break may be all that there
  // is.
  const patterns = tokens.length === 1 ? [/\S(.*\S)?/su, /^.+$/su] : wordPatterns;
  for (const pattern of patterns) {
    const pieces = pattern.global
      ? [...text.matchAll(pattern)]
      : [pattern.exec(text)].filter((m) => m !== null);
    if (pieces.length !== tokens.length) continue;
    for (const [i, piece] of pieces.entries()) {
      const start = from + encoder.encode(text.slice(0, piece.index)).length;
      put(tokens[i], start, start + encoder.encode(piece[0]).length);
    }
    return;
  }
  throw new FsynError(
    'TOKENIZER',
    `Cannot tell which of the ${tokens.length} unknown tokens stands for what in ${JSON.stringify(text)}.`,
  );
}
