import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { type EmbeddedSample, embeddedDataset, GROUNDINGS } from '../../lib/datasets/embedded/dataset.js';
import { writeDataset } from '../../lib/datasets/embedded/files.js';
import { FAMILIES } from '../../lib/datasets/embedded/questions.js';
import { cellBox, layoutOf, SCENE_OBJECTS } from '../../lib/datasets/embedded/scene.js';
import { SUBJECTS, trainingScenes } from '../../lib/datasets/embedded/turns.js';
import { answerOf } from './checker.js';

type Options = Parameters<typeof embeddedDataset>[0];

async function all(options: Options): Promise<EmbeddedSample[]> {
  const samples: EmbeddedSample[] = [];
  for await (const sample of embeddedDataset(options).samples()) samples.push(sample);
  return samples;
}

const everything = { families: FAMILIES, groundings: GROUNDINGS };
const lessons = {
  seed: 1,
  objects: [SCENE_OBJECTS, SCENE_OBJECTS] as const,
  turns: 12,
  mix: Object.fromEntries(SUBJECTS.map((subject) => [subject, 1])),
  priors: 0.2,
  signs: 0.15,
};
const wordsOf = ({ question, truth }: EmbeddedSample) =>
  truth.words.map(([from, to]) => question.slice(from, to));
const sorted = (boxes: readonly (readonly number[])[]) => boxes.map(String).sort();

describe('embedded suite', () => {
  it('records the answer and the boxes that an independent reader finds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.constantFrom('train' as const, 'test' as const),
        async (seed, split) => {
          for (const sample of await all({ ...everything, size: 96, seed, split })) {
            const { question, scene, answer, truth, grounding } = sample;
            expect(scene.objects).toHaveLength(SCENE_OBJECTS);
            if (grounding === 'image-prior') {
              expect(answer).toBe(scene.sign?.text);
              expect(sorted(truth.boxes)).toEqual(sorted((scene.sign?.cells ?? []).map(cellBox)));
              expect(truth.words).toEqual([]);
              continue;
            }
            const verdict = answerOf(question, scene);
            expect(verdict.answer, question).toBe(answer);
            expect(scene.sign).toBeUndefined();
            expect(verdict.objects !== undefined).toBe(grounding === 'grounded');
            expect(sorted(truth.boxes)).toEqual(sorted((verdict.objects ?? []).map((o) => cellBox(o.cell))));
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it('names the words that decide', async () => {
    const samples = await all({ ...everything, size: 240 });
    for (const sample of samples.filter(({ grounding }) => grounding !== 'image-prior')) {
      const words = wordsOf(sample);
      for (const word of words) expect(word).toMatch(/^\w+$/);
      const letterOption = sample.question.match(new RegExp(`\\? .*\\b${sample.answer} (\\w+)`))?.[1];
      const expected: Record<string, number> = {
        'presence-grounded': 2,
        'presence-text-prior': 1,
        'relation-grounded': 5,
        'relation-text-prior': 3,
        'counting-grounded': 1,
        'counting-text-prior': 1,
        'choice-grounded': 4,
        'choice-text-prior': 3,
      };
      expect(words, sample.question).toHaveLength(expected[`${sample.family}-${sample.grounding}`] ?? -1);
      if (sample.family === 'choice') expect(words.slice(-2)).toEqual([sample.answer, letterOption]);
    }
  });

  it('balances the answers within every form of question, so that a question alone says nothing', async () => {
    // 8 forms-times-answers per family at most: 96 samples per family and grounding are whole blocks for all
    // of them.
    const samples = await all({ ...everything, size: 4 * 3 * 96 });
    const counts = new Map<string, Map<string, number>>();
    for (const { form, grounding, answer } of samples) {
      const key = `${grounding} ${form}`;
      const of = counts.get(key) ?? new Map<string, number>();
      counts.set(key, of.set(answer, (of.get(answer) ?? 0) + 1));
    }
    expect(counts.size).toBe(8 + 8 + 5);
    for (const [key, of] of counts) {
      expect(new Set(of.values()).size, key).toBe(1);
      expect(of.size, key).toBe(/presence|relation/.test(key) ? 2 : 4);
    }
  });

  it('keeps the answer independent of the words of a grounded question', async () => {
    const samples = (await all({ families: ['presence'], size: 3200 })).map(({ question, answer }) => ({
      question,
      answer,
    }));
    for (const word of ['red', 'green', 'blue', 'yellow', 'circle', 'square', 'triangle', 'cross']) {
      const asked = samples.filter(({ question }) => question.includes(word));
      const share = asked.filter(({ answer }) => answer === 'yes').length / asked.length;
      // About 800 questions each: five standard errors of a fair coin are .09.
      expect(Math.abs(share - 0.5), word).toBeLessThan(0.09);
    }
  });

  it('fixes the answer of a prior question whatever the other modality shows', async () => {
    const samples = await all({ ...everything, size: 2400, seed: 5 });
    const byQuestion = new Map<string, Set<string>>();
    let overridden = 0;
    for (const { grounding, question, answer, scene } of samples) {
      if (grounding === 'text-prior') {
        byQuestion.set(question, (byQuestion.get(question) ?? new Set()).add(answer));
      }
      if (grounding === 'image-prior' && answerOf(question, scene).answer !== answer) overridden++;
    }
    for (const [question, answers] of byQuestion) expect(answers.size, question).toBe(1);
    // The sign contradicts what the objects say in half of the yes/no and three quarters of the other
    // questions.
    expect(overridden).toBeGreaterThan(0.5 * 800);
  });

  it('is the same for the same seed, begins the same whatever its size, and differs for another seed', async () => {
    const [once, again, longer, other] = await Promise.all(
      [
        { ...everything, size: 36, seed: 7 },
        { ...everything, size: 36, seed: 7 },
        { ...everything, size: 60, seed: 7 },
        { ...everything, size: 36, seed: 8 },
      ].map(all),
    );
    const strip = (samples: EmbeddedSample[] = []) => samples.map(({ image: _, ...rest }) => rest);
    expect(strip(again)).toEqual(strip(once));
    expect(strip(longer).slice(0, 36)).toEqual(strip(once));
    expect(strip(other)).not.toEqual(strip(once));
    const pixels = await Promise.all([once, again].map(async (s) => (await s?.[5]?.image())?.data));
    expect(pixels[0]).toEqual(pixels[1]);
    expect(new Set(once?.map(({ id }) => id)).size).toBe(36);
  });

  it('never shares a scene between the splits, nor with the training stream', async () => {
    const test = new Set((await all({ ...everything, size: 600 })).map(({ scene }) => layoutOf(scene)));
    const train = new Set(
      (await all({ ...everything, size: 600, split: 'train' })).map(({ scene }) => layoutOf(scene)),
    );
    const stream = trainingScenes(lessons);
    for (let i = 0; i < 2000; i++) train.add(layoutOf(stream.next().value.scene));
    for (const layout of test) expect(train.has(layout)).toBe(false);
  });

  it('trains on balanced answers that the independent reader confirms', () => {
    const stream = trainingScenes({ ...lessons, seed: 3 });
    const counts = new Map<string, number>();
    for (let i = 0; i < 4000; i++) {
      const { scene, turns } = stream.next().value;
      for (const { question, answer, form } of turns) {
        expect(answer, question).toBe(scene.sign?.text ?? answerOf(question, scene).answer);
        if (!scene.sign) counts.set(`${form} ${answer}`, (counts.get(`${form} ${answer}`) ?? 0) + 1);
      }
    }
    for (const form of new Set([...counts.keys()].map((key) => key.split(' ')[0]))) {
      const of = [...counts].filter(([key]) => key.startsWith(`${form} `)).map(([, count]) => count);
      expect(Math.max(...of) - Math.min(...of), form).toBeLessThanOrEqual(9);
    }
  });

  it('renders objects, clutter and signs inside their cells and noise elsewhere', async () => {
    for (const sample of await all({ ...everything, size: 48 })) {
      const { data, shape } = await sample.image();
      expect(shape).toEqual([64, 64, 3]);
      const { objects, clutter, sign } = sample.scene;
      const taken = new Set([...objects.map((o) => o.cell), ...clutter, ...(sign?.cells ?? [])]);
      expect(taken.size).toBe(objects.length + clutter.length + (sign?.cells.length ?? 0));
      for (let cell = 0; cell < 64; cell++) {
        const [x0, y0, x1, y1] = cellBox(cell);
        let strongest = 0;
        for (let y = y0; y < y1; y++) {
          for (let x = x0; x < x1; x++) {
            for (let c = 0; c < 3; c++) {
              strongest = Math.max(strongest, Math.abs(data[(y * 64 + x) * 3 + c] - 205));
            }
          }
        }
        if (taken.has(cell)) expect(strongest).toBeGreaterThan(40);
        else expect(strongest).toBeLessThanOrEqual(13);
      }
    }
  });

  it('rejects options that mean nothing, naming them', () => {
    const bad: [unknown, RegExp][] = [
      [{ size: 0 }, /size/],
      [{ size: 1.5 }, /size/],
      [{ seed: 0.5 }, /seed/],
      [{ split: 'validation' }, /split/],
      [{ families: [] }, /families/],
      [{ families: ['presence', 'presence'] }, /families/],
      [{ families: ['colour'] }, /families/],
      [{ groundings: ['both'] }, /groundings/],
      [{ familys: ['presence'] }, /familys/],
    ];
    for (const [options, message] of bad) {
      expect(() => embeddedDataset(options as Options)).toThrow(message);
      expect(() => embeddedDataset(options as Options)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
  });

  it('writes PNG and JSONL that read back exactly', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fsyn-embedded-'));
    try {
      const dataset = embeddedDataset({ ...everything, size: 12 });
      await writeDataset(dataset, folder);
      const lines = (await readFile(join(folder, 'samples.jsonl'), 'utf8')).trim().split('\n');
      const samples = await all({ ...everything, size: 12 });
      expect(lines).toHaveLength(12);
      for (const [index, line] of lines.entries()) {
        const record = JSON.parse(line);
        const sample = samples[index] as EmbeddedSample;
        const { id, question, answer, choices, family, grounding, truth } = sample;
        expect(record).toEqual({
          ...{ id, question, answer, family, grounding, truth, image: `images/${id}.png` },
          ...(choices ? { choices } : {}),
        });
        const pixels = await sharp(join(folder, record.image)).removeAlpha().raw().toBuffer();
        expect(new Uint8Array(pixels)).toEqual(new Uint8Array((await sample.image()).data));
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
