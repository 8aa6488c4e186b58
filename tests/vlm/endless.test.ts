import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { FsynError } from '../../lib/errors.js';
import { withinTime } from '../../lib/time-limit.js';
import type { ClassifierQuestion } from '../../lib/vlm/classifier/manifest.js';
import { encodeQuestion } from '../../lib/vlm/classifier/question.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { ChatTemplate } from '../../lib/vlm/text/chat.js';
import { checkQuestion } from '../../lib/vlm/text/prompt.js';
import { TextTokenizer } from '../../lib/vlm/text/tokenizer.js';
import { pattern } from './pattern.js';

const golden = fileURLToPath(new URL('../golden/vlm-tokenizers/', import.meta.url));
const llava = fileURLToPath(new URL('../../bench/models/llava-tiny/model', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'fsyn-endless-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('work with a time limit', () => {
  it('is ended in a loop and in a regular expression, and says what it was', () => {
    const works = [
      () => {
        for (;;);
      },
      () => /^((\S+|\s+)+)+#/.test('Is there a red circle in this long question? Is there a red circle?'),
    ];
    for (const work of works) {
      expect(() => withinTime(0.05, 'Counting sheep', 'TOKENIZER', work)).toThrow(
        new FsynError('TOKENIZER', 'Counting sheep took more than 0.05 seconds and was ended.'),
      );
    }
  });

  it('gives its result and its own errors, one inside the other too', () => {
    const inner = () => withinTime(1, 'inner', 'TOKENIZER', () => [1, undefined]);
    expect(withinTime(1, 'outer', 'TOKENIZER', inner)).toEqual([1, undefined]);
    const error = new TypeError('mine');
    expect(() =>
      withinTime(1, 'outer', 'TOKENIZER', () => {
        throw error;
      }),
    ).toThrow(error);
  });
});

describe('a chat template', () => {
  const render = (source: string) =>
    new ChatTemplate(`${source}{{ messages[0].content[1].text }}`, {}).render('Why?', undefined);

  it.each([
    ['{% for i in range(1000000000) %}{% endfor %}', /it counts to 1000000000/],
    [
      '{% for i in range(50000) %}{% for j in range(50000) %}{% endfor %}{% endfor %}',
      /took more than 2 seconds/,
    ],
    [
      "{% set n = namespace(a='x') %}{% for i in range(40) %}{% set n.a = n.a ~ n.a %}{% endfor %}",
      /Invalid string|writes/,
    ],
    [
      "{% set n = namespace(a='x') %}{% for i in range(22) %}{% set n.a = n.a ~ n.a %}{% endfor %}{{ n.a }}",
      /writes \d+ characters/,
    ],
    [
      '{% set n = namespace(a=[1]) %}{% for i in range(40) %}{% set n.a = n.a + n.a %}{% endfor %}',
      /array length|seconds/,
    ],
    ['{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}', /Cannot render/],
    [`${'{% if true %}'.repeat(20_000)}${'{% endif %}'.repeat(20_000)}`, /Cannot parse the chat template/],
  ])('that does not end is ended: %.60s', (source, message) => {
    expect(() => render(source)).toThrow(
      expect.objectContaining({ code: 'TOKENIZER', message: expect.stringMatching(message) }),
    );
  });

  it('counts as Jinja does, and keeps the blanks at its start', () => {
    const counts =
      '{% for i in range(2, 9, 3) %}{{ i }} {% endfor %}{% for i in range(3) %}{{ i }}{% endfor %}|';
    expect(render(counts).text).toBe('2 5 8 012|Why?');
    expect(render('  {% if true %}a{% endif %}').text).toBe('aWhy?');
    expect(render('  a').text).toBe('  aWhy?');
    expect(render('{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}').text).toBe('321Why?');
  });
});

describe('a tokenizer', () => {
  const json = () => JSON.parse(readFileSync(`${golden}word-level.json`, 'utf8'));
  const code = (code: string, message: RegExp) =>
    expect.objectContaining({ code, message: expect.stringMatching(message) });

  it('whose pattern goes back and forth is ended', () => {
    const regex = { Regex: '((\\S+|\\s+)+)+\\u0001' };
    const tokenizer = new TextTokenizer(
      { ...json(), pre_tokenizer: { type: 'Split', pattern: regex, behavior: 'Isolated', invert: false } },
      {},
    );
    expect(() => tokenizer.encode('Is there a red circle in this long question?', true)).toThrow(
      code('TOKENIZER', /Tokenising the prompt took more than 5 seconds/),
    );
  });

  it('whose ids are places in endless lists is refused, and so is a pattern that is none', () => {
    const { model, ...rest } = json();
    for (const id of [4e9, 2 ** 24, -1, 1.5, '7', null]) {
      const vocab = { ...model.vocab, red: id };
      expect(() => new TextTokenizer({ ...rest, model: { ...model, vocab } }, {})).toThrow(
        code('TOKENIZER', /"red" has/),
      );
      expect(() => new TextTokenizer({ ...json(), added_tokens: [{ id, content: 'red' }] }, {})).toThrow(
        code('TOKENIZER', /"red" has/),
      );
    }
    const normalizer = { type: 'Replace', pattern: { Regex: '(' }, content: '' };
    expect(() => new TextTokenizer({ ...json(), normalizer }, {})).toThrow(code('TOKENIZER', /Cannot build/));
  });
});

it('the pattern of a manifest is ended too', () => {
  const question = {
    pattern: /((\S+|\s+)+)+#/gu,
    lowercase: false,
    unknown: 'skip',
  } as unknown as ClassifierQuestion;
  expect(() =>
    encodeQuestion('Is there a red circle in this long question?', '', false, question, undefined),
  ).toThrow(/pattern of the manifest took more than 2 seconds/);
});

it('an endless question, or half of a character, is refused before it is read', async () => {
  expect(() => checkQuestion('x'.repeat(65_536))).not.toThrow();
  expect(() => checkQuestion('x'.repeat(65_536), 'y')).toThrow(
    expect.objectContaining({ code: 'CONTEXT_LENGTH' }),
  );
  expect(() => checkQuestion('Is there a \ud800 circle?')).toThrow(/lone surrogates for question/);
  expect(() => checkQuestion('Why?', '\udc00')).toThrow(/lone surrogates for instruction/);
  const path = join(folder, 'model');
  cpSync(llava, path, { recursive: true });
  writeFileSync(join(path, 'chat_template.jinja'), '{% for i in range(99999999) %}{% endfor %}');
  const vlm = await loadVlm(path);
  const endless = vlm.prepare(pattern(64, 64), 'Is there a red circle? '.repeat(20_000));
  await expect(endless).rejects.toMatchObject({ code: 'CONTEXT_LENGTH' });
  await expect(vlm.prepare(pattern(64, 64), 'Why?')).rejects.toMatchObject({ code: 'TOKENIZER' });
  vlm.dispose();
});
