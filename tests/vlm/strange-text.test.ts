import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { ChatTemplate, chatTemplateSource } from '../../lib/vlm/text/chat.js';
import { labelOf } from '../../lib/vlm/text/labels.js';
import { TextTokenizer } from '../../lib/vlm/text/tokenizer.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';
import { pattern } from './pattern.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
const llava = fileURLToPath(new URL('../../bench/models/llava-tiny/model', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'fsyn-strange-text-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function tokenizer(name: string): TextTokenizer {
  const json = JSON.parse(readFileSync(`${golden}vlm-tokenizers/${name}.json`, 'utf8'));
  return new TextTokenizer(json, { unk_token: '<unk>', eos_token: '</s>' });
}

describe('a chat template', () => {
  const source = '{% for m in messages %}\nUSER: {{ m.content[1].text }}\n{% endfor %}\nASSISTANT:\n';

  it('reads every line end as one, wherever it is kept, as Jinja does', () => {
    const plain = new ChatTemplate(source, {}).render('Why?', undefined);
    for (const end of ['\r\n', '\r', '\n']) {
      const written = source.replaceAll('\n', end);
      for (const kept of [
        chatTemplateSource(written),
        chatTemplateSource(undefined, { chat_template: written }),
        chatTemplateSource(undefined, { chat_template: [{ name: 'default', template: written }] }),
      ]) {
        expect(new ChatTemplate(kept!, {}).render('Why?', undefined)).toEqual(plain);
      }
    }
  });

  const trims: [string, (text: string) => string][] = [
    ['', (text) => text],
    ['.strip()', (text) => text.trim()],
    ['.lstrip()', (text) => text.trimStart()],
    ['.rstrip()', (text) => text.trimEnd()],
    [' | trim', (text) => text.trim()],
  ];

  it.each(trims)('that trims by %s leaves the text where it can be found', (filter, trim) => {
    const template = new ChatTemplate(
      `USER: <image>\n{{ messages[0].content[1].text${filter} }} ASSISTANT:`,
      {},
    );
    for (const text of ['Why?', '  Why?', 'Why? \n', '\t Why not? ', ' a a ', ' x']) {
      const { text: prompt, userStart, userEnd, cut } = template.render(text, undefined);
      expect(prompt.slice(userStart, userEnd)).toBe(trim(text));
      expect(text.slice(cut, cut + userEnd - userStart)).toBe(trim(text));
    }
  });

  it('that rewrites the text is refused', () => {
    const template = new ChatTemplate('{{ messages[0].content[1].text | upper }}', {});
    expect(() => template.render('Why?', undefined)).toThrow(/rewrites the user's text/);
  });
});

describe('a word outside the vocabulary', () => {
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(llava);
  });
  afterAll(() => vlm.dispose());

  function player(sample: PreparedSample, word: string): number {
    const at = sample.question.indexOf(word);
    return sample.textPlayers.labels.findIndex(
      (_, p) =>
        sample.textPlayers.spans[2 * p] <= at && sample.textPlayers.spans[2 * p + 1] >= at + word.length,
    );
  }

  it('is a player, called by its own text, and masked like the others', async () => {
    const sample = await vlm.prepare(pattern(64, 64), 'Is there a röd circle?');
    const { count, labels, kinds } = sample.textPlayers;
    const unknown = player(sample, 'ö');
    expect(labels[unknown]).toBe('ö');
    expect(kinds[unknown]).toBe('question');
    const table = new CellTable(sample.imagePlayers.count, count);
    const all = table.imageState(new Uint8Array(sample.imagePlayers.count).fill(1));
    const present = new Uint8Array(count).fill(1);
    table.cell(all, table.textState(present));
    present[unknown] = 0;
    table.cell(all, table.textState(present));
    const { logProbabilities, tokens } = await sample.evaluate(table);
    expect(logProbabilities[tokens]).not.toBe(logProbabilities[0]);
  });

  it('is called by all of it where the vocabulary has words only', () => {
    const words = tokenizer('word-level');
    const text = 'Is there a Schildkröte, or Эта?';
    const found = { text, ...words.encode(text, false) };
    const unknown = Array.from(found.ids.keys()).filter((i) => words.isUnknown(found.ids[i]));
    expect(unknown.map((i) => labelOf(words, found, i))).toEqual(
      expect.arrayContaining(['Schildkröte', 'Эта']),
    );
  });

  it.each(['\t', '\r\n', '\n', '\u00a0', ' \t ', '\u3000'])('may be white space: %j', async (space) => {
    const question = `Is there${space}a red circle?`;
    const sample = await vlm.prepare(pattern(64, 64), question);
    const { spans, count } = sample.textPlayers;
    const covered = new Set<number>();
    for (let p = 0; p < count; p++) for (let i = spans[2 * p]; i < spans[2 * p + 1]; i++) covered.add(i);
    const visible = Array.from(question.matchAll(/\S/gu), (match) => match.index);
    expect(visible.filter((i) => !covered.has(i))).toEqual([]);
  });
});

describe('the bytes of a character', () => {
  it('are called by it, and told apart by their number', () => {
    const bytes = tokenizer('llama-metaspace');
    const text = 'a 日 b';
    const found = { text, ...bytes.encode(text, false) };
    const labels = Array.from(found.ids, (_, i) => labelOf(bytes, found, i));
    expect(labels.join(' ')).not.toContain('\ufffd');
    expect(labels).toEqual(expect.arrayContaining(['日 1/3', '日 2/3', '日 3/3']));
  });

  it('of an answer are its characters', () => {
    const bytes = tokenizer('llama-metaspace');
    const ids = bytes.encode('日本 no', false).ids;
    expect(
      bytes
        .pieces(ids)
        .map((piece) => piece.trim())
        .filter(Boolean),
    ).toEqual(expect.arrayContaining(['日', '本']));
  });

  it('of an answer that begins within a character are lost nowhere', () => {
    const bytes = tokenizer('llama-metaspace');
    const whole = Array.from(bytes.encode('日', false).ids);
    const pieces = bytes.pieces(whole.slice(-2));
    expect(pieces).toHaveLength(2);
    expect(pieces.join('')).toBe('\ufffd\ufffd');
  });
});

describe('generation_config.json', () => {
  const use = (name: string, change: object): string => {
    const path = join(folder, name);
    cpSync(llava, path, { recursive: true });
    const file = join(path, 'generation_config.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
    return path;
  };

  it.each([
    [{ repetition_penalty: 0 }, /number > 0 for repetition_penalty/],
    [{ repetition_penalty: -1 }, /number > 0 for repetition_penalty/],
    [{ repetition_penalty: '1.2' }, /finite number for repetition_penalty/],
    [{ eos_token_id: '2' }, /token id.*eos_token_id.*"2"/],
    [{ eos_token_id: [2, 'x'] }, /token id.*eos_token_id/],
    [{ eos_token_id: 2.5 }, /token id.*eos_token_id/],
  ])('with %j is refused as transformers refuses it', async (change, message) => {
    await expect(loadVlm(use(`refused-${JSON.stringify(change)}`, change))).rejects.toMatchObject({
      code: 'MODEL_CONTRACT',
      message: expect.stringMatching(message),
    });
  });

  it('may list several ends, and have none', async () => {
    for (const eos of [[2, 3], null]) (await loadVlm(use(`eos-${eos}`, { eos_token_id: eos }))).dispose();
  });
});
