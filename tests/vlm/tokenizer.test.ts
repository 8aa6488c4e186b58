import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../lib/vlm/json.js';
import { TextTokenizer } from '../../lib/vlm/text/tokenizer.js';

interface Case {
  text: string;
  ids: number[];
  tokens: string[];
  offsets: [number, number][];
  decoded: string;
}

const folder = fileURLToPath(new URL('../golden/vlm-tokenizers/', import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}golden.json`, 'utf8')) as Record<string, Case[]>;

function load(name: string): TextTokenizer {
  const json = JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8')) as JsonObject;
  return new TextTokenizer(json, {
    bos_token: '<s>',
    eos_token: { content: '</s>' },
    pad_token: '<pad>',
    unk_token: '<unk>',
    model_max_length: 1e30,
  });
}

/**
 * The text of a token by the Python offsets, with two differences: a space that the tokenizer inserted stands
 * for no text (Python gives it the following character), and a composed accent (NFC) covers its letter and
 * mark (Python: the letter).
 */
function expectedText(text: string, token: string, from: number, to: number, composes: boolean): string {
  if (token === '\u2581') return '';
  const marks = composes ? /^\p{M}*/u.exec(text.slice(to))![0].length : 0;
  return text.slice(from, to > from ? to + marks : to).trim();
}

describe.each(Object.keys(golden))('%s', (name) => {
  const tokenizer = load(name);

  it.each(golden[name])(
    'has the ids and spans of the Python tokenizer: $text',
    ({ text, ids, offsets, tokens, decoded }) => {
      const encoded = tokenizer.encode(text, !text.startsWith('<s>'));
      expect(Array.from(encoded.ids)).toEqual(ids);
      const spans = ids.map((_, i) => [encoded.spans[i * 2], encoded.spans[i * 2 + 1]]);
      expect(spans.map(([from, to]) => text.slice(from, to).trim())).toEqual(
        offsets.map(([from, to], i) => expectedText(text, tokens[i], from, to, name === 'byte-level')),
      );
      expect(tokenizer.decode(encoded.ids).trim()).toBe(decoded.trim());
      const spoken = encoded.ids.filter((id) => !tokenizer.isSpecial(id));
      // A character that several tokens spell is whole, in the first of them.
      expect(tokenizer.pieces(spoken).join('').trim()).toBe(decoded.trim());
    },
  );

  it('covers every visible character of any text exactly, in order', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        const { ids, spans } = tokenizer.encode(text, false);
        const covered = new Uint8Array(text.length);
        let last = 0;
        for (let i = 0; i < ids.length; i++) {
          expect(spans[i * 2]).toBeLessThanOrEqual(spans[i * 2 + 1]!);
          expect(spans[i * 2]).toBeGreaterThanOrEqual(last > 0 ? spans[i * 2 - 2]! : 0);
          covered.fill(1, spans[i * 2], spans[i * 2 + 1]);
          last = i;
        }
        for (let i = 0; i < text.length; i++) {
          if (!/\s/.test(text[i])) expect([i, covered[i]]).toEqual([i, 1]);
        }
      }),
      { numRuns: 300, seed: 5 },
    );
  });
});

describe('TextTokenizer', () => {
  it('knows its special tokens and limits', () => {
    const tokenizer = load('llama-legacy');
    expect(tokenizer.bosToken).toBe('<s>');
    expect(tokenizer.tokenString(tokenizer.padTokenId!)).toBe('<pad>');
    expect(tokenizer.tokenString(tokenizer.eosTokenId!)).toBe('</s>');
    expect(tokenizer.isSpecial(tokenizer.tokenId('<image>')!)).toBe(true);
    expect(tokenizer.maxLength).toBeUndefined();
    expect(tokenizer.tokenText(tokenizer.tokenId('\u2581red')!)).toBe(' red');
    expect(() => tokenizer.tokenString(99999)).toThrow(/no token with id 99999/);
  });

  it('explains a tokenizer.json that is none', () => {
    expect(() => new TextTokenizer({ model: 3 }, {})).toThrow(
      expect.objectContaining({ code: 'TOKENIZER', message: expect.stringContaining('tokenizer.json') }),
    );
  });
});
