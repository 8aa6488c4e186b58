import { Tokenizer } from '@huggingface/tokenizers';
import { describe, FsynError, reasonOf } from '../../errors.js';
import { withinTime } from '../../time-limit.js';
import { isObject, type JsonObject } from '../json.js';
import { alignTokens, wordCharacters } from './alignment.js';
import { detectSpelling, TokenSpeller, wordEnd } from './token-bytes.js';

/** Seconds that tokenising may take: the longest question takes two. */
const patience = 5;
/** A hundred times the published vocabularies; lists are as long as the largest id. */
const largestId = 2 ** 24;

/** What is used of @huggingface/tokenizers, whose own declarations do not resolve under NodeNext. */
interface BackingTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[]; tokens: string[] };
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
  get_added_tokens_decoder(): Map<number, { special: boolean }>;
}

export interface EncodedText {
  readonly ids: Int32Array;
  /** [tokens, 2]: half-open character ranges in the text; empty for tokens that stand for no text. */
  readonly spans: Int32Array;
}

/**
 * A tokenizer of a model directory: ids as the Python tokenizer gives them, and the character range of every
 * token.
 */
export class TextTokenizer {
  readonly #tokenizer: BackingTokenizer;
  readonly #speller: TokenSpeller;
  readonly #normalise: ((piece: string) => string) | undefined;
  readonly #added: ReadonlySet<number>;
  readonly #special: ReadonlySet<number>;
  readonly #unknownId: number | undefined;
  readonly #addBos: number | undefined;
  readonly bosToken: string | undefined;
  readonly padTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** The longest input that tokenizer_config.json allows, where it says so. */
  readonly maxLength: number | undefined;

  /**
   * @param tokenizerJson contents of tokenizer.json
   * @param config contents of tokenizer_config.json
   */
  constructor(tokenizerJson: JsonObject, config: JsonObject) {
    checkIds(tokenizerJson);
    try {
      this.#normalise = characterNormaliser(tokenizerJson.normalizer);
      this.#tokenizer = new Tokenizer(
        { ...tokenizerJson, pre_tokenizer: unicodeWords(tokenizerJson.pre_tokenizer) },
        config,
      );
    } catch (cause) {
      const reason = reasonOf(cause);
      throw new FsynError('TOKENIZER', `Cannot build the tokenizer of tokenizer.json: ${reason}.`, { cause });
    }
    this.#speller = new TokenSpeller(detectSpelling(tokenizerJson), wordEnd(tokenizerJson));
    const added = this.#tokenizer.get_added_tokens_decoder();
    this.#added = new Set(added.keys());
    this.#special = new Set([...added].filter(([, token]) => token.special).map(([id]) => id));
    this.#unknownId = this.#unknown(tokenizerJson, config);
    this.bosToken = tokenContent(config.bos_token);
    this.padTokenId = this.#id(tokenContent(config.pad_token));
    this.eosTokenId = this.#id(tokenContent(config.eos_token));
    this.#addBos = config.add_bos_token === true ? this.#id(this.bosToken) : undefined;
    const limit = config.model_max_length;
    // Configurations write "no limit" as an astronomically large number.
    this.maxLength = typeof limit === 'number' && limit > 0 && limit < 2 ** 31 ? limit : undefined;
  }

  #unknown(tokenizerJson: JsonObject, config: JsonObject): number | undefined {
    const model = isObject(tokenizerJson.model) ? tokenizerJson.model : {};
    const named = typeof model.unk_token === 'string' ? model.unk_token : tokenContent(config.unk_token);
    return this.#id(named);
  }

  #id(token: string | undefined): number | undefined {
    return token === undefined ? undefined : this.#tokenizer.token_to_id(token);
  }

  /** The id of a token's exact string, or undefined when the vocabulary lacks it. */
  tokenId(token: string): number | undefined {
    return this.#id(token);
  }

  /** The token's string as the vocabulary spells it. */
  tokenString(id: number): string {
    const token = this.#tokenizer.id_to_token(id);
    if (token === undefined) throw new FsynError('TOKENIZER', `The vocabulary has no token with id ${id}.`);
    return token;
  }

  /** The text that a token stands for, leading space included; U+FFFD where it is part of a character. */
  tokenText(id: number): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.#bytes(id));
  }

  /** Whether the token stands for text that the vocabulary lacks. */
  isUnknown(id: number): boolean {
    // CLIP's unknown token is its end token, which stands for no text.
    return id === this.#unknownId && id !== this.eosTokenId;
  }

  #bytes(id: number): Uint8Array {
    const token = this.tokenString(id);
    return this.#added.has(id) ? new TextEncoder().encode(token) : this.#speller.bytes(token);
  }

  /**
   * The text of every token of a sequence; joined, they are its whole text. A character that several tokens
   * spell belongs to the first of them, and words of vocabularies that spell no blanks get one in front.
   */
  pieces(ids: ArrayLike<number>): string[] {
    const spelled = Array.from(ids, (id) =>
      this.#added.has(id)
        ? new TextEncoder().encode(this.tokenString(id))
        : this.#speller.piece(this.tokenString(id)),
    );
    const bytes = Buffer.concat(spelled);
    const starts = [0];
    for (const piece of spelled) starts.push(starts[starts.length - 1] + piece.length);
    const whole = starts.map((at) => {
      // What continues no character, at the very beginning, belongs to the first token.
      if (at === 0) return 0;
      let start = at;
      while (start < bytes.length && (bytes[start] & 0xc0) === 0x80) start++;
      return start;
    });
    return spelled.map((_, i) => bytes.toString('utf8', whole[i], whole[i + 1]));
  }

  /** Whether the token is a control token such as `<s>` or `<image>`, not text. */
  isSpecial(id: number): boolean {
    return this.#special.has(id);
  }

  /**
   * Tokenises text and finds every token in it.
   *
   * @param addSpecial whether the tokenizer may add its own special tokens, such as `<s>` in front
   * @throws FsynError TOKENIZER when a token has no id or cannot be found in the text
   */
  encode(text: string, addSpecial: boolean): EncodedText {
    return withinTime(patience, 'Tokenising the prompt', 'TOKENIZER', () => this.#encode(text, addSpecial));
  }

  #encode(text: string, addSpecial: boolean): EncodedText {
    const encoding = this.#tokenizer.encode(text, { add_special_tokens: addSpecial });
    const ids = encoding.ids.map((id, i) => {
      if (Number.isInteger(id)) return id;
      throw new FsynError('TOKENIZER', `Token ${describe(encoding.tokens[i])} has no id in the vocabulary.`);
    });
    // Llama's converted tokenizers say `add_bos_token` without a post-processor that would add it.
    if (addSpecial && this.#addBos !== undefined && ids[0] !== this.#addBos) ids.unshift(this.#addBos);
    const tokens = ids.map((id) => {
      const label = this.tokenString(id);
      const added = this.#added.has(id);
      return {
        label,
        bytes: this.#bytes(id),
        added,
        unknown: this.isUnknown(id) && !text.includes(label),
      };
    });
    return { ids: Int32Array.from(ids), spans: alignTokens(text, tokens, this.#normalise) };
  }

  /**
   * The tokens that continue a text which ends in a control token or a word of its own.
   *
   * @throws FsynError TOKENIZER when the last token of `before` would merge with the continuation
   */
  continuation(before: string, text: string): Int32Array {
    const whole = this.encode(before + text, false);
    const start = Array.from(whole.ids.keys()).find((i) => whole.spans[i * 2 + 1] > before.length);
    if (start === undefined) throw new FsynError('TOKENIZER', `No token stands for ${describe(text)}.`);
    if (whole.spans[start * 2] < before.length && before.slice(whole.spans[start * 2]).trim() !== '') {
      throw new FsynError(
        'TOKENIZER',
        `The first token of ${describe(text)} merges with the end of the prompt.`,
      );
    }
    return whole.ids.slice(start);
  }

  get vocabularySize(): number {
    return this.#tokenizer.get_vocab().size;
  }

  /** The text of a token sequence, special tokens left out. */
  decode(ids: ArrayLike<number>): string {
    const kept = Array.from(ids).filter((id) => !this.#special.has(id));
    return kept.length === 0
      ? ''
      : this.#tokenizer.decode(kept, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  }
}

/**
 * Replaces `Whitespace`, whose words are ASCII only in the JavaScript library, by the same rule with the word
 * characters of the original (Unicode's \w).
 */
function unicodeWords(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(unicodeWords);
  if (!isObject(node)) return node;
  if (node.type !== 'Whitespace') {
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, unicodeWords(value)]));
  }
  return {
    type: 'Split',
    pattern: { Regex: `[${wordCharacters}]+|[^${wordCharacters}\\s]+` },
    behavior: 'Removed',
    invert: true,
  };
}

/** `bos_token` and its like are a string or an object with `content`. */
function tokenContent(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isObject(value) && typeof value.content === 'string' ? value.content : undefined;
}

/**
 * What a normaliser does to a single character, or undefined when it leaves characters alone.
 * `Prepend`, and `Replace` of the space, are undone by the spelling of the tokens instead.
 */
function characterNormaliser(node: unknown): ((piece: string) => string) | undefined {
  if (!isObject(node)) return undefined;
  switch (node.type) {
    case 'Sequence': {
      const parts = Array.isArray(node.normalizers) ? node.normalizers.map(characterNormaliser) : [];
      const active = parts.filter((part) => part !== undefined);
      if (active.length === 0) return undefined;
      return (piece) => active.reduce((text, part) => part(text), piece);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const form = node.type;
      return (piece) => piece.normalize(form);
    }
    // SentencePiece's compiled maps are NFKC with small additions.
    case 'Precompiled':
      return (piece) => piece.normalize('NFKC');
    case 'Lowercase':
      return (piece) => piece.toLowerCase();
    // What is taken out of a text shows in no token; other replacements are undone by the spelling, or
    // refused.
    case 'Replace': {
      const pattern = isObject(node.pattern) ? node.pattern : {};
      if (node.content !== '' || typeof pattern.Regex !== 'string') return undefined;
      // Escapes of characters that need none are an error in Unicode patterns.
      const removed = new RegExp(pattern.Regex.replace(/\\([#&~%"'`,:;=@!<>_ ])/g, '$1'), 'gu');
      return (piece) => piece.replace(removed, '');
    }
    case 'StripAccents':
      return (piece) => piece.normalize('NFD').replace(/\p{Mn}/gu, '');
    case 'BertNormalizer': {
      const lower = node.lowercase !== false;
      const strip = node.strip_accents === true || (node.strip_accents !== false && lower);
      return (piece) => {
        const plain = strip ? piece.normalize('NFD').replace(/\p{Mn}/gu, '') : piece;
        return lower ? plain.toLowerCase() : plain;
      };
    }
    default:
      return undefined;
  }
}

/** Refuses ids that would be places in lists of gigabytes. */
function checkIds({ model, added_tokens: added }: JsonObject): void {
  const vocabulary = isObject(model) && isObject(model.vocab) ? Object.entries(model.vocab) : [];
  const tokens = Array.isArray(added) ? added.filter(isObject).map(({ content, id }) => [content, id]) : [];
  for (const [token, id] of [...vocabulary, ...tokens]) {
    if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < largestId) continue;
    throw new FsynError(
      'TOKENIZER',
      `Expected ids from 0 to ${largestId - 1} in tokenizer.json, but ${describe(token)} has ${describe(id)}.`,
    );
  }
}
