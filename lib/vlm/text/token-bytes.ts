import type { JsonObject } from '../json.js';
import { isObject } from '../json.js';

const utf8 = new TextEncoder();

/** GPT-2's printable stand-ins: every byte has one character, printable bytes their own. */
function byteLevelAlphabet(): Map<string, number> {
  const alphabet = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    alphabet.set(String.fromCodePoint(printable ? byte : next++), byte);
  }
  return alphabet;
}

/**
 * How a vocabulary spells text: as bytes in disguise, with U+2581 for spaces, with ## for continuations, or
 * plainly.
 */
export type Spelling = 'byte-level' | 'metaspace' | 'wordpiece' | 'plain';

/** Every part of a configuration tree that has a `type`, depth first. */
function* typedParts(node: unknown): Generator<JsonObject> {
  if (Array.isArray(node)) {
    for (const child of node) yield* typedParts(child);
  } else if (isObject(node)) {
    if (typeof node.type === 'string') yield node;
    for (const child of Object.values(node)) yield* typedParts(child);
  }
}

/** Reads the spelling off tokenizer.json: the decoder and the pre-tokenizer say it. */
export function detectSpelling(tokenizerJson: JsonObject): Spelling {
  const model = isObject(tokenizerJson.model) ? tokenizerJson.model : {};
  const parts = [
    ...typedParts(tokenizerJson.decoder),
    ...typedParts(tokenizerJson.pre_tokenizer),
    ...typedParts(tokenizerJson.normalizer),
  ];
  if (parts.some((part) => part.type === 'ByteLevel')) return 'byte-level';
  if (parts.some((part) => part.type === 'Metaspace' || part.replacement === '\u2581')) return 'metaspace';
  if (parts.some((part) => part.type === 'Prepend' && part.prepend === '\u2581')) return 'metaspace';
  if (parts.some((part) => part.type === 'Replace' && part.content === '\u2581')) return 'metaspace';
  if (model.type === 'Unigram') return 'metaspace';
  if (model.type === 'WordPiece') return 'wordpiece';
  return 'plain';
}

/**
 * The mark that the last token of a word carries in some vocabularies, CLIP's `</w>`; empty where there is
 * none.
 */
export function wordEnd(tokenizerJson: JsonObject): string {
  const model = isObject(tokenizerJson.model) ? tokenizerJson.model : {};
  return typeof model.end_of_word_suffix === 'string' ? model.end_of_word_suffix : '';
}

/** Turns a token string of the vocabulary into the UTF-8 bytes of the text that it stands for. */
export class TokenSpeller {
  readonly spelling: Spelling;
  readonly #alphabet = byteLevelAlphabet();
  readonly #wordEnd: string;

  /** @param wordEnd what the last token of a word ends in, which is no text */
  constructor(spelling: Spelling, wordEnd = '') {
    this.spelling = spelling;
    this.#wordEnd = wordEnd;
  }

  bytes(spelled: string): Uint8Array {
    const ends = this.#wordEnd !== '' && spelled.endsWith(this.#wordEnd);
    const token = ends ? spelled.slice(0, -this.#wordEnd.length) : spelled;
    switch (this.spelling) {
      case 'byte-level':
        return this.#byteLevel(token);
      case 'metaspace': {
        const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
        if (byte !== null) return Uint8Array.of(Number.parseInt(byte[1], 16));
        return utf8.encode(token.replaceAll('\u2581', ' '));
      }
      case 'wordpiece':
        return utf8.encode(token.startsWith('##') ? token.slice(2) : token);
      default:
        return utf8.encode(token);
    }
  }

  /** As `bytes`, with the blank before a word that the spelling leaves out. */
  piece(spelled: string): Uint8Array {
    const bytes = this.bytes(spelled);
    const begins =
      (this.spelling === 'wordpiece' && !spelled.startsWith('##')) ||
      (this.spelling === 'plain' && this.#wordEnd === '');
    if (begins) return Uint8Array.from([0x20, ...bytes]);
    return this.#wordEnd !== '' && spelled.endsWith(this.#wordEnd)
      ? Uint8Array.from([...bytes, 0x20])
      : bytes;
  }

  #byteLevel(token: string): Uint8Array {
    const bytes: number[] = [];
    for (const character of token) {
      const byte = this.#alphabet.get(character);
      if (byte === undefined) bytes.push(...utf8.encode(character));
      else bytes.push(byte);
    }
    return Uint8Array.from(bytes);
  }
}
