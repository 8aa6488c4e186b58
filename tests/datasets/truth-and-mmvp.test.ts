import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCsv } from '../../lib/datasets/csv.js';
import { openDatasets } from '../../lib/datasets/open.js';
import type { Dataset, Sample } from '../../lib/datasets/types.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { readReport } from '../../lib/runner/conclude.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { fakeModel } from '../runner/fake-model.js';

const fixtures = join(import.meta.dirname, '../fixtures/datasets');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fsyn-truth-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function all(dataset: Dataset): Promise<Map<string, Sample>> {
  const samples = new Map<string, Sample>();
  for await (const sample of dataset.samples()) samples.set(sample.id, sample);
  return samples;
}

/** A folder in RePOPE's layout with instances as COCO writes them: segments, areas and all. */
function repopeFolder(name: string, instances: unknown): string {
  const path = join(folder, name);
  cpSync(join(fixtures, 'repope'), path, { recursive: true });
  const [first, second] = ['COCO_val2014_000000000001.jpg', 'COCO_val2014_000000000002.jpg'];
  const lines = [
    { image: first, text: 'Is there a dog in the image?', label: 'yes' },
    { image: first, text: 'Is there an umbrella in the image?', label: 'no' },
    { image: first, text: 'Is there a teddy bear in the imange?', label: 'yes' },
    { image: second, text: 'Is there a dog in the image?', label: 'yes' },
    { image: second, text: 'Is there a unicorn in the image?', label: 'no' },
  ];
  writeFileSync(
    join(path, 'annotations', 'coco_repope_random.json'),
    lines.map((line, i) => `${JSON.stringify({ question_id: i + 1, ...line })}\n`).join(''),
  );
  writeFileSync(join(path, 'annotations', 'instances_val2014.json'), JSON.stringify(instances));
  return path;
}

const object = (id: number, image: number, category: number, bbox: number[], iscrowd = 0) => ({
  id,
  image_id: image,
  category_id: category,
  bbox,
  iscrowd,
  area: bbox[2] * bbox[3],
  segmentation: [[bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1], bbox[0], bbox[1] + bbox[3]]],
});
const coco = {
  info: { year: 2014 },
  licenses: [],
  images: [
    { id: 1, file_name: 'COCO_val2014_000000000001.jpg', height: 24, width: 24, license: 3 },
    { id: 2, file_name: 'COCO_val2014_000000000002.jpg', height: 24, width: 24, license: 3 },
    { id: 3, file_name: 'COCO_val2014_000000000003.jpg', height: 24, width: 24, license: 3 },
  ],
  categories: [
    { id: 1, name: 'person', supercategory: 'person' },
    { id: 18, name: 'dog', supercategory: 'animal' },
    { id: 28, name: 'umbrella', supercategory: 'accessory' },
    { id: 88, name: 'teddy bear', supercategory: 'indoor' },
  ],
  annotations: [
    object(11, 1, 18, [2, 3, 10.5, 8]),
    object(12, 1, 18, [14, 14, 6, 6], 1),
    object(13, 1, 1, [0, 0, 4, 24]),
    object(14, 1, 88, [16, 2, 5, 5]),
    object(15, 1, 1, [0, 20, 24, 4], 1),
    object(16, 1, 1, [5, 5, 0, 3]),
    object(17, 3, 18, [1, 1, 2, 2]),
  ],
};

describe('RePOPE with COCO’s instances', () => {
  test('marks the asked object, its words and the other objects', async () => {
    const [dataset] = await openDatasets([`repope/random:${repopeFolder('whole', coco)}`]);
    expect(dataset.truthless).toBe(false);
    expect(dataset.notes?.join('\n')).toMatch(
      /ground truth of 3 of 5 questions.*; 1 answered yes have no box there; 1 name no COCO category/,
    );
    const samples = await all(dataset);
    const asked = (text: string, image = 1) => samples.get(`COCO_val2014_00000000000${image}.jpg ${text}`)!;
    const dog = asked('Is there a dog in the image?');
    expect(dog).toMatchObject({ grounding: 'grounded', answer: 'yes' });
    expect(dog.truth).toEqual({
      boxes: [
        [2, 3, 12.5, 11],
        [14, 14, 20, 20],
      ],
      words: [[11, 14]],
      distractors: [
        [0, 0, 4, 24],
        [16, 2, 21, 7],
      ],
    });
    const bear = asked('Is there a teddy bear in the imange?');
    expect(bear.truth!.words.map(([from, to]) => bear.question.slice(from, to))).toEqual(['teddy bear']);
    const umbrella = asked('Is there an umbrella in the image?');
    expect(umbrella.truth).toMatchObject({ boxes: [], words: [[12, 20]] });
    expect(asked('Is there a dog in the image?', 2).truth).toBeUndefined();
    expect(asked('Is there a unicorn in the image?', 2).grounding).toBeUndefined();
  });

  test('changes its version with the truth, and says what is wrong with the file', async () => {
    const version = async (name: string, instances: unknown) =>
      (await openDatasets([`repope/random:${repopeFolder(name, instances)}`]))[0].version;
    const [first, ...rest] = coco.annotations;
    const moved = { ...coco, annotations: [{ ...first, bbox: [1, 3, 10.5, 8] }, ...rest] };
    const other = { ...coco, annotations: [...coco.annotations, object(18, 3, 18, [0, 0, 1, 1])] };
    const base = await version('same', coco);
    expect(await version('moved', moved)).not.toBe(base);
    // Objects of images that nobody asks about decide nothing.
    expect(await version('other', other)).toBe(base);
    const bad = { ...coco, annotations: [{ ...first, bbox: [1, 2, 3] }] };
    await expect(version('bad', bad)).rejects.toThrow(/annotations\[0\].*bbox/);
    await expect(version('list', [])).rejects.toThrow(/expected an object/);
    const lost = { ...coco, annotations: [{ ...first, category_id: 7 }] };
    await expect(version('lost', lost)).rejects.toThrow(/no category has the id 7/);
  });

  test('lets the controls run on it', async () => {
    const [dataset] = await openDatasets([`repope/random:${repopeFolder('run', coco)}`]);
    const out = join(folder, 'out');
    const explainers = findExplainers(['oracle', 'anti-oracle', 'mismatch', 'random']);
    await runBenchmark({ models: [fakeModel()], datasets: [dataset], explainers, out });
    const rows = [...readRecords(out)];
    const mismatch = rows.filter(({ explainer }) => explainer === 'mismatch');
    expect(mismatch.map(({ status }) => status)).toEqual(['failed', 'ok']);
    // The fake model sees 8 x 8 pixels: the bear lies outside, which only those who look at it suffer from.
    const random = rows.filter(({ explainer }) => explainer === 'random');
    expect(random.every(({ status }) => status === 'ok')).toBe(true);
    expect(random).toHaveLength(5);
    const report = await readReport(out, { resamples: 100 });
    expect(report.models[0].overall.oneSided).toBe(1);
  });
});

describe('MMVP', () => {
  test('asks question and options, expects the letter, shows the picture of the index', async () => {
    const [dataset] = await openDatasets([`mmvp:${join(fixtures, 'mmvp')}`]);
    expect(dataset).toMatchObject({ name: 'mmvp', size: 2, truthless: true });
    expect(dataset.notes?.join()).toContain('2 questions; the published set has 300');
    const samples = await all(dataset);
    expect(samples.get('1')).toMatchObject({
      question: 'Is the circle, or what looks like "one", red or green?\n(a) Red (b) Green',
      answer: 'A',
      choices: ['A', 'B'],
      instruction: expect.stringContaining('only the letter'),
    });
    expect(samples.get('2')!.answer).toBe('B');
    const [one, two] = [await samples.get('1')!.image(), await samples.get('2')!.image()];
    expect(one.get(12, 12, 0)).toBeGreaterThan(200);
    expect(two.get(12, 12, 0)).not.toBe(one.get(12, 12, 0));
  });

  test('names what is missing or wrong', async () => {
    const copy = join(folder, 'mmvp');
    cpSync(join(fixtures, 'mmvp'), copy, { recursive: true });
    const open = async (csv: string) => {
      writeFileSync(join(copy, 'Questions.csv'), csv);
      return (await openDatasets([`mmvp:${copy}`]))[0];
    };
    await expect(openDatasets([`mmvp:${folder}`])).rejects.toThrow(/Questions.csv and the pictures/);
    await expect(open('Index,Question\n1,x\n')).rejects.toThrow(/no column "Options", "Correct Answer"/);
    const head = 'Index,Question,Options,Correct Answer\n';
    await expect(open(`${head}one,x,(a) y (b) z,(a)\n`)).rejects.toThrow(/:2: expected a number for Index/);
    const problems = await open(`${head}1,x,(a) y (b) z,(c)\n2,x,(b) y (a) z,(a)\n3,x,(a) y (b) z,(b)\n`);
    for (const [id, reason] of [
      ['1', /:2: the answer "\(c\)" is none of its options/],
      ['2', /:3: the options/],
      ['3', /:4: the picture .*3\.jpg is missing/],
    ] as const) {
      await expect((await all(problems)).get(id)!.image()).rejects.toThrow(reason);
    }
  });
});

describe('readCsv', () => {
  test('takes quoted cells over lines, and names a broken quote', () => {
    const text = 'a,b\r\n"x\ny, ""z""",\n\n,2';
    expect(readCsv(text, 'f')).toEqual([
      { cells: ['a', 'b'], number: 1 },
      { cells: ['x\ny, "z"', ''], number: 2 },
      { cells: ['', '2'], number: 5 },
    ]);
    expect(readCsv('', 'f')).toEqual([]);
    expect(readCsv('a,', 'f')).toEqual([{ cells: ['a', ''], number: 1 }]);
    expect(() => readCsv('a,b\nc"d,e', 'f')).toThrow('f:2: a quote');
    expect(() => readCsv('a\n"b', 'f')).toThrow('f:2: a quote');
  });
});
