import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { choiceLetters } from '../../lib/datasets/choices.js';
import { chooseSpread } from '../../lib/datasets/choose.js';
import { openCvBench } from '../../lib/datasets/cv-bench.js';
import { openMmstar } from '../../lib/datasets/mmstar.js';
import { type PublishedOptions, subsetKey } from '../../lib/datasets/published.js';
import { openRepope } from '../../lib/datasets/repope.js';
import type { Dataset, Sample } from '../../lib/datasets/types.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';
import type { PrepareOptions } from '../../lib/vlm/types.js';
import { fakeModel } from '../runner/fake-model.js';

const fixtures = join(import.meta.dirname, '../fixtures/datasets');
const fixture = (...parts: string[]) => join(fixtures, ...parts);
const everything: PublishedOptions = { subset: undefined, limit: Number.POSITIVE_INFINITY, seed: 0 };
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fsyn-published-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function all(dataset: Dataset): Promise<Sample[]> {
  const samples: Sample[] = [];
  for await (const sample of dataset.samples()) samples.push(sample);
  return samples;
}
const ids = async (opened: Promise<Dataset>) => (await all(await opened)).map(({ id }) => id);
const byId = (samples: readonly Sample[]) => new Map(samples.map((sample) => [sample.id, sample]));
/** Colour of the pixel in the middle of the shape that every fixture shows. */
async function colour(sample: Sample | undefined): Promise<number[]> {
  const image = await sample!.image();
  return [0, 1, 2].map((channel) => image.get(12, 12, channel));
}

describe('CV-Bench', () => {
  it('asks its prompt, expects the letter and offers as many letters as there are choices', async () => {
    const dataset = await openCvBench(fixture('cv-bench'), everything);
    expect([dataset.name, dataset.size, dataset.truthless]).toEqual(['cv-bench', 7, true]);
    const samples = byId(await all(dataset));
    expect([...samples.keys()].sort()).toEqual(['2D-0', '2D-1', '2D-2', '2D-3', '2D-4', '3D-5', '3D-6']);
    expect(samples.get('2D-4')).toMatchObject({
      question:
        'How many circles are there? Select from the following choices.\n(A) 0\n(B) 2\n(C) 3\n(D) 4\n(E) 5\n(F) 1',
      answer: 'F',
      choices: ['A', 'B', 'C', 'D', 'E', 'F'],
      family: 'count',
      instruction: expect.stringContaining('only the letter'),
    });
    expect(samples.get('3D-6')).toMatchObject({ answer: 'A', choices: ['A', 'B'], family: 'distance' });
    expect(await colour(samples.get('2D-1'))).toEqual([50, 80, 220]);
    expect(await colour(samples.get('3D-5'))).toEqual([220, 40, 40]);
  });

  it('says that files of another size than the published ones were read', async () => {
    const { notes } = await openCvBench(fixture('cv-bench', 'test_3d.parquet'), everything);
    expect(notes).toEqual([expect.stringMatching(/holds 2 questions; the published set has 2638/)]);
  });

  it('takes the same samples whatever the order of rows, row groups and page indexes', async () => {
    for (const seed of [0, 1, 2]) {
      const whole = await ids(openCvBench(fixture('cv-bench'), { ...everything, seed }));
      for (const limit of [1, 3, 7]) {
        const options = { ...everything, seed, limit };
        expect(await ids(openCvBench(fixture('cv-bench'), options))).toEqual(whole.slice(0, limit));
        expect(await ids(openCvBench(fixture('cv-bench-shuffled'), options))).toEqual(whole.slice(0, limit));
      }
    }
    const shuffled = byId(await all(await openCvBench(fixture('cv-bench-shuffled'), everything)));
    expect(await colour(shuffled.get('2D-1'))).toEqual([50, 80, 220]);
    expect(await colour(shuffled.get('3D-5'))).toEqual([220, 40, 40]);
  });

  it('selects a task or a dimension, and names those there are', async () => {
    const depth = await openCvBench(fixture('cv-bench'), { ...everything, subset: 'depth' });
    expect([depth.name, depth.size]).toEqual(['cv-bench/depth', 1]);
    expect((await openCvBench(fixture('cv-bench'), { ...everything, subset: '2D' })).size).toBe(5);
    await expect(openCvBench(fixture('cv-bench'), { ...everything, subset: 'colour' })).rejects.toThrow(
      /no subset "colour"; it has 2d \(5\), 3d \(2\), count \(3\), depth \(1\), distance \(1\), relation \(2\)/,
    );
  });
});

describe('MMStar', () => {
  it('reads pictures stored as bytes or as Hugging Face stores them', async () => {
    const stored = byId(await all(await openMmstar(fixture('mmstar'), everything)));
    const bare = byId(await all(await openMmstar(fixture('mmstar-bytes.parquet'), everything)));
    expect([...bare.keys()].sort()).toEqual(['0', '1', '2', '3']);
    for (const [id, sample] of bare) {
      expect(stored.get(id)).toMatchObject({ question: sample.question, answer: sample.answer });
      expect(await colour(stored.get(id))).toEqual(await colour(sample));
    }
    expect(stored.get('0')).toMatchObject({
      question: 'What color is the circle?\nOptions: A: green, B: red, C: white, D: black',
      answer: 'B',
      choices: ['A', 'B', 'C', 'D'],
      family: 'coarse perception',
    });
  });

  it('selects a category, written without blanks', async () => {
    expect(subsetKey('science & technology')).toBe('science-technology');
    const dataset = await openMmstar(fixture('mmstar'), { ...everything, subset: 'science-technology' });
    expect((await all(dataset)).map(({ id }) => id)).toEqual(['3']);
  });
});

describe('RePOPE', () => {
  it('joins the three splits, asks equal questions once, and reads one split alone', async () => {
    const dataset = await openRepope(fixture('repope'), everything);
    const samples = await all(dataset);
    expect([dataset.size, dataset.notes]).toEqual([6, []]);
    const question = samples.find(
      ({ question, id }) => question === 'Is there a red circle in the image?' && id.includes('0001'),
    );
    expect(question).toMatchObject({ answer: 'yes', family: 'presence' });
    expect([question?.instruction, question?.choices]).toEqual([undefined, undefined]);
    expect((await colour(question))[0]).toBeGreaterThan(150);
    for (const [subset, size] of [
      ['random', 3],
      ['popular', 2],
      ['adversarial', 3],
    ] as const) {
      expect((await openRepope(fixture('repope'), { ...everything, subset })).size).toBe(size);
    }
  });

  it('does not depend on the order of lines', async () => {
    const copy = join(folder, 'reversed');
    cpSync(fixture('repope'), copy, { recursive: true });
    const file = join(copy, 'annotations', 'coco_repope_random.json');
    writeFileSync(file, `${readFileSync(file, 'utf8').trimEnd().split('\n').reverse().join('\n')}\n`);
    const limited = { ...everything, limit: 4 };
    expect(await ids(openRepope(copy, limited))).toEqual(await ids(openRepope(fixture('repope'), limited)));
  });

  it('makes failed rows of missing images, unknown and contradicting labels, and counts them', async () => {
    const copy = join(folder, 'mended');
    cpSync(fixture('repope'), copy, { recursive: true });
    const line = (image: string, text: string, label: string) =>
      `${JSON.stringify({ image, text, label })}\n`;
    const image = 'COCO_val2014_000000000001.jpg';
    appendFileSync(
      join(copy, 'annotations', 'coco_repope_popular.json'),
      line('COCO_val2014_000000000003.jpg', 'Is there a dog?', 'no') +
        line(image, 'Is there a cat?', 'maybe') +
        line(image, 'Is there a blue square in the image?', 'yes') +
        line(image, 'Is there a red circle in the image?', 'yes'),
    );
    const dataset = await openRepope(copy, everything);
    expect(dataset.notes).toEqual([
      expect.stringMatching(/1 lines repeat a line of the same file.*coco_repope_popular\.json:6/),
      expect.stringMatching(/3 of 8 questions cannot be asked and will be failed rows; the first: /),
    ]);
    const out = join(folder, 'mended-results');
    const outcome = await runBenchmark({
      models: [fakeModel()],
      datasets: [dataset],
      explainers: findExplainers(['random']),
      out,
    });
    expect(outcome.failed).toBe(3);
    const reasons = [...readRecords(out)].flatMap((row) => (row.status === 'failed' ? [row.error] : []));
    expect(reasons.map(({ code }) => code)).toEqual(['DATASET', 'DATASET', 'DATASET']);
    const text = reasons.map(({ message }) => message).join('\n');
    expect(text).toMatch(/coco_repope_popular\.json:3: the image .*000003\.jpg is missing/);
    expect(text).toMatch(/coco_repope_popular\.json:4: the label "maybe" is neither yes nor no/);
    expect(text).toMatch(/coco_repope_random\.json:2 labels .* no, .*coco_repope_popular\.json:5 yes/);
  });

  it('says what to put where', async () => {
    const empty = join(folder, 'empty');
    await expect(openRepope(empty, everything)).rejects.toThrow(
      /annotations\/coco_repope_random\.json.*val2014/,
    );
    const noSplit = join(folder, 'no-split');
    cpSync(fixture('repope'), noSplit, { recursive: true });
    rmSync(join(noSplit, 'annotations', 'coco_repope_popular.json'));
    await expect(openRepope(noSplit, everything)).rejects.toThrow(/coco_repope_popular\.json missing in/);
    expect((await openRepope(noSplit, { ...everything, subset: 'random' })).size).toBe(3);
    const noImages = join(folder, 'no-images');
    cpSync(fixture('repope'), noImages, { recursive: true });
    rmSync(join(noImages, 'val2014', 'COCO_val2014_000000000001.jpg'));
    rmSync(join(noImages, 'val2014', 'COCO_val2014_000000000002.jpg'));
    await expect(openRepope(noImages, everything)).rejects.toThrow(/none of the 6 images asked about is in/);
    rmSync(join(noImages, 'val2014'), { recursive: true });
    await expect(openRepope(noImages, everything)).rejects.toThrow(/expected the COCO images.*val2014/);
  });

  it('names file and line of what is no annotation', async () => {
    const copy = join(folder, 'broken');
    cpSync(fixture('repope'), copy, { recursive: true });
    const file = join(copy, 'annotations', 'coco_repope_random.json');
    appendFileSync(file, '{"image": "a.jpg", "text": 7, "label": "no"}\n');
    await expect(openRepope(copy, everything)).rejects.toThrow(
      /random\.json:4: expected a text for text but found 7/,
    );
    writeFileSync(file, '[\n');
    await expect(openRepope(copy, everything)).rejects.toMatchObject({
      code: 'DATASET',
      message: expect.stringMatching(/random\.json:1 is not valid JSON/),
    });
  });
});

describe('choosing by hash', () => {
  it('depends on ids and seed only, and grows with the limit', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string(), { minLength: 2, maxLength: 30 }),
        fc.nat(),
        fc.nat(),
        (names, seed, shift) => {
          const entries = names.map((id) => ({ id }));
          const turned = entries.map((_, i) => entries[(i + shift) % entries.length]);
          const chosen = chooseSpread(entries, { seed, limit: 5 });
          expect(chooseSpread(turned, { seed, limit: 5 })).toEqual(chosen);
          expect(chooseSpread(turned.reverse(), { seed, limit: 8 }).slice(0, 5)).toEqual(chosen);
        },
      ),
    );
  });

  it('takes every id about equally often', () => {
    const entries = Array.from({ length: 10 }, (_, i) => ({ id: String(i) }));
    const counts = new Map(entries.map(({ id }) => [id, 0]));
    const seeds = 4000;
    for (let seed = 0; seed < seeds; seed++)
      for (const { id } of chooseSpread(entries, { seed, limit: 3 })) counts.set(id, counts.get(id)! + 1);
    // Binomial with p = .3: five standard deviations, and the seeds are fixed.
    const deviation = Math.sqrt(seeds * 0.3 * 0.7);
    for (const count of counts.values()) expect(Math.abs(count - 0.3 * seeds)).toBeLessThan(5 * deviation);
  });
});

describe('bad Parquet files', () => {
  const bad = (name: string) => fixture('bad', name);

  it('of another schema are refused with what differs', async () => {
    await expect(openCvBench(fixture('mmstar'), everything)).rejects.toMatchObject({
      code: 'DATASET',
      message: expect.stringMatching(
        /mmstar\.parquet has another schema than expected: it has no column idx; .*Its columns are index, question, image/,
      ),
    });
    await expect(openMmstar(fixture('cv-bench'), everything)).rejects.toThrow(/it has no column index/);
  });

  it('cut off anywhere are refused before anything is asked', async () => {
    const whole = readFileSync(fixture('mmstar', 'mmstar.parquet'));
    const path = join(folder, 'cut.parquet');
    for (let size = 0; size < whole.length; size += 211) {
      writeFileSync(path, whole.subarray(0, size));
      await expect(openMmstar(path, everything)).rejects.toMatchObject({
        code: 'DATASET',
        message: expect.stringMatching(/cut\.parquet is not a whole Parquet file: /),
      });
    }
  });

  it('damaged inside fail the questions whose pictures are hit', async () => {
    const path = join(folder, 'damaged.parquet');
    const bytes = readFileSync(fixture('mmstar-bytes.parquet'));
    const picture = bytes.indexOf(Buffer.from([0xff, 0xd8, 0xff]));
    bytes.fill(0, picture, picture + 64);
    writeFileSync(path, bytes);
    const samples = byId(await all(await openMmstar(path, everything)));
    await expect(samples.get('0')!.image()).rejects.toMatchObject({ code: 'IMAGE' });
    await expect(samples.get('3')!.image()).resolves.toBeDefined();
  });

  it('of a codec that cannot be read are refused by its name', async () => {
    await expect(openMmstar(bad('mmstar-zstd.parquet'), everything)).rejects.toThrow(
      /compressed with ZSTD; only UNCOMPRESSED and SNAPPY/,
    );
  });

  it('with repeated ids are refused with their number', async () => {
    await expect(openCvBench(bad('cv-bench-repeated.parquet'), everything)).rejects.toThrow(
      /1 of 3 rows repeat the id of a row before them, the first "2D-0"/,
    );
  });

  it('with unknown answers or without a picture give failed rows', async () => {
    const dataset = await openCvBench(bad('cv-bench-rows.parquet'), everything);
    expect(dataset.notes?.[1]).toMatch(
      /1 of 3 questions .* row 1 \(2D 1\): the answer "\(F\)" is none of its 3 choices/,
    );
    const out = join(folder, 'rows');
    await runBenchmark({
      models: [fakeModel()],
      datasets: [dataset],
      explainers: findExplainers(['random']),
      out,
    });
    const status = Array.from(readRecords(out), (row) => [
      row.sample,
      row.status === 'ok' ? 'ok' : row.error.message,
    ]);
    expect(Object.fromEntries(status)).toEqual({
      '2D-0': 'ok',
      '2D-1': expect.stringContaining('none of its 3 choices'),
      '2D-2': expect.stringMatching(/cv-bench-rows\.parquet has no picture in row 2/),
    });
    const { notes } = await openMmstar(bad('mmstar-answers.parquet'), everything);
    expect(notes?.[1]).toMatch(/1 of 2 questions .*"E" is none of A, B, C, D/);
  });

  it('that are not there: says what to put where', async () => {
    await expect(openCvBench(join(folder, 'nothing'), everything)).rejects.toThrow(
      /test_2d\.parquet and test_3d\.parquet.*fsyn downloads nothing/,
    );
    await expect(openMmstar(join(folder, 'nothing'), everything)).rejects.toThrow(/expected mmstar\.parquet/);
  });
});

describe('a sample of a published dataset', () => {
  it('is read when its turn comes', async () => {
    const path = join(folder, 'gone.parquet');
    cpSync(fixture('mmstar', 'mmstar.parquet'), path);
    const samples = await all(await openMmstar(path, everything));
    truncateSync(path, 1000);
    await expect(samples[0].image()).rejects.toThrow(/gone\.parquet: the file ends before byte \d+/);
    rmSync(path);
    await expect(samples[0].image()).rejects.toMatchObject({ code: 'DATASET' });
  });

  it('takes choices and the instruction of its architecture to the model', async () => {
    const asked: PrepareOptions[] = [];
    for (const architecture of ['llava', 'qwen2_5_vl']) {
      const model = fakeModel();
      await runBenchmark({
        models: [
          {
            ...model,
            architecture,
            prepare: (image, question, options) => {
              asked.push(options!);
              return model.prepare(image, question, options);
            },
          },
        ],
        datasets: [await openCvBench(fixture('cv-bench'), { ...everything, subset: 'depth' })],
        explainers: findExplainers(['random']),
        out: join(folder, architecture),
      });
    }
    expect(asked.map(({ choices }) => choices)).toEqual([
      ['A', 'B'],
      ['A', 'B'],
    ]);
    expect(asked.map(({ instruction }) => instruction)).toEqual([
      '\nAnswer',
      '\nAnswer directly with only the letter inside parentheses, and nothing else. \nAnswer:',
    ]);
  });
});

describe('a set at its edges', () => {
  // A Parquet file of MMStar's columns without a row, as hyparquet-writer 0.16 writes it.
  const empty =
    'UEFSMRUEGXxIBHJvb3QVDAAVBCUCGAVpbmRleAAVDCUCGAhxdWVzdGlvbiUAABUMJQIYBWltYWdlABUMJQIYBmFuc3dlciUAABUM' +
    'JQIYCGNhdGVnb3J5JQAAFQwlAhgLbDJfY2F0ZWdvcnklAAAWABkAKAloeXBhcnF1ZXQZbBwAABwAABwAABwAABwAABwAAACOAAAA' +
    'UEFSMQ==';

  it('is refused when it holds no questions', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'fsyn-empty-')), 'mmstar.parquet');
    writeFileSync(path, Buffer.from(empty, 'base64'));
    await expect(openMmstar(path, everything)).rejects.toMatchObject({
      code: 'DATASET',
      message: 'mmstar holds no questions: its files are empty.',
    });
  });

  it('has letters for as many choices as there are letters', () => {
    expect(choiceLetters(2)).toEqual(['A', 'B']);
    expect(choiceLetters(26)?.at(-1)).toBe('Z');
    expect(choiceLetters(27)).toBeUndefined();
  });
});
