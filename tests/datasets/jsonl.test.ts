import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseSpread } from '../../lib/datasets/choose.js';
import { type JsonlOptions, openJsonl } from '../../lib/datasets/jsonl.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fsyn-jsonl-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rows = Array.from({ length: 23 }, (_, i) => ({
  id: `sample ${i}`,
  image: `${i}.png`,
  question: `Is there object ${i}?`,
  answer: i % 2 === 0 ? 'yes' : 'no',
}));

function write(name: string, lines: readonly object[]): string {
  const path = join(folder, name);
  writeFileSync(path, lines.map((line) => JSON.stringify(line)).join('\n'));
  return path;
}

async function ids(path: string, options?: Partial<JsonlOptions>): Promise<string[]> {
  const dataset = await openJsonl(path, options);
  const found: string[] = [];
  for await (const { id } of dataset.samples()) found.push(id);
  expect(dataset.size).toBe(found.length);
  return found;
}

describe('the ground truth of a JSON Lines file', () => {
  it('is said to be half where grounded samples mark no boxes or no words', async () => {
    const line = (id: string, grounding: string, boxes: number[][], words: number[][]) => ({
      id,
      image: 'a.png',
      question: 'Is it red?',
      answer: 'yes',
      grounding,
      truth: { boxes, words },
    });
    const box = [[0, 0, 4, 4]];
    const whole = [line('a', 'grounded', box, [[6, 9]]), line('b', 'image-prior', box, [])];
    expect((await openJsonl(write('whole.jsonl', whole))).notes).toEqual([]);
    const half = [...whole, line('c', 'grounded', box, []), line('d', 'grounded', [], [[6, 9]])];
    const { notes } = await openJsonl(write('half.jsonl', half));
    expect(notes).toEqual([
      expect.stringMatching(
        /2 of 3 grounded samples with truth mark no boxes or no words, the first "[cd]"/u,
      ),
    ]);
  });
});

describe('the samples of a JSON Lines file', () => {
  it('are chosen by seed and id as those of the published datasets, however the lines are ordered', async () => {
    const straight = write('straight.jsonl', rows);
    const turned = write('turned.jsonl', [...rows].reverse());
    for (const seed of [0, 1, 7]) {
      for (const limit of [1, 5, 22, 23, Number.POSITIVE_INFINITY]) {
        const expected = chooseSpread(rows, { limit, seed }).map(({ id }) => id);
        expect(await ids(straight, { limit, seed })).toEqual(expected);
        expect(await ids(turned, { limit, seed })).toEqual(expected);
      }
    }
    expect(await ids(straight)).toEqual(await ids(straight, { seed: 0 }));
  });

  it('are other ones for another seed, more of the same for a larger limit, and not the first lines', async () => {
    const path = write('seeds.jsonl', rows);
    const [five, nine] = [await ids(path, { limit: 5 }), await ids(path, { limit: 9 })];
    expect(nine.slice(0, 5)).toEqual(five);
    expect(await ids(path, { limit: 5, seed: 1 })).not.toEqual(five);
    expect(five).not.toEqual(rows.slice(0, 5).map(({ id }) => id));
  });

  it('have their line numbers as ids where they have none', async () => {
    const nameless = write(
      'nameless.jsonl',
      rows.map(({ id: _, ...rest }) => rest),
    );
    expect((await ids(nameless)).sort((a, b) => Number(a) - Number(b))).toEqual(
      rows.map((_, i) => String(i + 1)),
    );
  });

  it('keep their own fields, and tell whether the chosen ones have ground truth', async () => {
    const truth = { boxes: [[0, 0, 2, 2]], words: [[0, 2]] };
    const path = write(
      'truth.jsonl',
      rows.map((row, i) => (i === 3 ? { ...row, truth } : row)),
    );
    const whole = await openJsonl(path);
    expect(whole.truthless).toBe(false);
    for await (const sample of whole.samples()) {
      expect(sample).toMatchObject({ question: `Is there object ${sample.id.slice(7)}?` });
      expect(sample.truth !== undefined).toBe(sample.id === 'sample 3');
    }
    const position = (await ids(path)).indexOf('sample 3');
    expect((await openJsonl(path, { limit: position + 1 })).truthless).toBe(false);
    if (position > 0) expect((await openJsonl(path, { limit: position })).truthless).toBe(true);
  });

  it('are all checked, those beyond the limit too', async () => {
    const bad = write('bad.jsonl', [...rows, { image: 'x.png', question: 'Why?' }]);
    await expect(openJsonl(bad, { limit: 1 })).rejects.toMatchObject({
      code: 'DATASET',
      message: expect.stringMatching(/bad\.jsonl:24: answer is missing/u),
    });
    const twice = write('twice.jsonl', [...rows, rows[2]]);
    await expect(openJsonl(twice, { limit: 1 })).rejects.toMatchObject({
      code: 'DATASET',
      message: expect.stringMatching(/twice\.jsonl:24: the id "sample 2" appeared before/u),
    });
  });
});

describe('a line from elsewhere', () => {
  const line = { image: 'a.png', question: 'Is there a red circle?', answer: 'yes' };
  const optionalFields = ['id', 'instruction', 'choices', 'family', 'grounding', 'truth'];

  it('may have null for what is optional, as data frames write it', async () => {
    const nulls = Object.fromEntries(optionalFields.map((field) => [field, null]));
    const dataset = await openJsonl(write('nulls.jsonl', [{ ...line, ...nulls }]));
    expect(dataset.truthless).toBe(true);
    for await (const sample of dataset.samples()) {
      expect(sample).toMatchObject({ id: '1', family: 'custom', question: line.question });
      for (const field of ['instruction', 'choices', 'grounding', 'truth'] as const)
        expect(sample[field]).toBeUndefined();
    }
  });

  it('may follow a byte order mark', async () => {
    const path = join(folder, 'marked.jsonl');
    writeFileSync(path, `\ufeff${JSON.stringify(line)}\r\n`);
    expect(await ids(path)).toEqual(['1']);
  });

  it.each([
    ['null', /:2: expected an object but found null/],
    ['[1]', /:2: expected an object but found an array/],
    [
      '{"image": "a.png", "question": null, "answer": "yes"}',
      /:2: expected a text for question but found null/,
    ],
    [
      '{"image": "a.png", "question": "", "answer": "yes"}',
      /:2: expected a text that is not empty for question/,
    ],
    ['{"image": "a.png", "question": "\\ud800?", "answer": "yes"}', /:2: .*lone surrogates for question/],
    [
      '{"image": "a\\u0000.png", "question": "x", "answer": "yes"}',
      /:2: expected a path without NUL for image/,
    ],
    [
      '{"image": "a.png", "question": "x", "answer": "yes", "truth": {"boxes": [[0, 0, 1]], "words": []}}',
      /:2: .*truth\.boxes\.0/,
    ],
    [`{"truth": ${'['.repeat(2e5)}`, /:2 nests arrays or objects deeper than/],
    ['{"image": "a.png"', /:2 is not valid JSON/],
  ])('that is wrong is named by line and field: %.60s', async (text, message) => {
    const path = join(folder, 'wrong.jsonl');
    writeFileSync(path, `${JSON.stringify(line)}\n${text}\n`);
    await expect(openJsonl(path)).rejects.toMatchObject({
      code: 'DATASET',
      message: expect.stringMatching(message),
    });
  });

  it('that is no UTF-8 is named, and so is a path that is no file', async () => {
    const path = join(folder, 'latin.jsonl');
    writeFileSync(path, Buffer.concat([Buffer.from('{}\n{"q": "caf'), Buffer.of(0xe9), Buffer.from('"}')]));
    await expect(openJsonl(path)).rejects.toThrow(/latin\.jsonl" is not UTF-8: line 2/);
    await expect(openJsonl('/dev/zero')).rejects.toThrow(/a device or a pipe/);
    await expect(openJsonl('\0')).rejects.toMatchObject({ code: 'DATASET' });
  });
});

describe('a picture outside the data folder', () => {
  const picture = fileURLToPath(new URL('../golden/vlm-images/rgb.png', import.meta.url));
  const line = { question: 'Is there a red circle?', answer: 'yes' };
  let data: string;
  beforeAll(() => {
    data = join(folder, 'data');
    mkdirSync(join(data, 'photos'), { recursive: true });
    copyFileSync(picture, join(folder, 'outside.png'));
    copyFileSync(picture, join(data, 'photos', '..in.png'));
    symlinkSync(join(folder, 'outside.png'), join(data, 'link.png'));
    symlinkSync(join(data, 'photos'), join(data, 'linked'));
  });

  const open = (image: string, allowOutside: boolean) => {
    const path = join(data, 'x.jsonl');
    writeFileSync(path, JSON.stringify({ ...line, image }));
    return openJsonl(path, { allowOutside });
  };
  const shape = async (image: string, allowOutside: boolean) => {
    for await (const sample of (await open(image, allowOutside)).samples())
      return (await sample.image()).shape;
  };

  it('is refused before anything is read, unless asked for', async () => {
    for (const image of [
      '../outside.png',
      join(folder, 'outside.png'),
      'photos/../../outside.png',
      '.',
      '..',
    ]) {
      await expect(open(image, false)).rejects.toMatchObject({
        code: 'DATASET',
        message: expect.stringMatching(
          /x\.jsonl:1: the picture .* lies outside the data folder .*--allow-outside/,
        ),
      });
    }
    expect(await shape('../outside.png', true)).toEqual([40, 56, 3]);
  });

  it('is not reached by a link either', async () => {
    await expect(shape('link.png', false)).rejects.toMatchObject({ code: 'DATASET' });
    expect(await shape('link.png', true)).toEqual([40, 56, 3]);
    expect(await shape('linked/..in.png', false)).toEqual([40, 56, 3]);
    await expect(shape('missing.png', false)).rejects.toMatchObject({ code: 'IMAGE' });
  });
});
