import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type JsonlOptions, openJsonl } from '../../lib/datasets/jsonl.js';
import { chooseByHash } from '../../lib/datasets/published.js';

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

describe('the samples of a JSON Lines file', () => {
  it('are chosen by seed and id as those of the published datasets, however the lines are ordered', async () => {
    const straight = write('straight.jsonl', rows);
    const turned = write('turned.jsonl', [...rows].reverse());
    for (const seed of [0, 1, 7]) {
      for (const limit of [1, 5, 22, 23, Number.POSITIVE_INFINITY]) {
        const expected = chooseByHash(rows, { limit, seed }).map(({ id }) => id);
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
      message: expect.stringMatching(/bad\.jsonl:24: expected a text for answer/u),
    });
    const twice = write('twice.jsonl', [...rows, rows[2]]);
    await expect(openJsonl(twice, { limit: 1 })).rejects.toMatchObject({
      code: 'DATASET',
      message: expect.stringMatching(/twice\.jsonl:24: the id "sample 2" appeared before/u),
    });
  });
});
