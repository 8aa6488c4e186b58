import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { easyVqaManifest } from '../../bench/studies/easy-vqa-manifest.js';
import { CellTable } from '../../lib/cells/table.js';
import { antiOracle, oracle } from '../../lib/explainers/oracle.js';
import { requestFaithfulness, scoreFaithfulness } from '../../lib/metrics/faithfulness.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { mapTruth } from '../../lib/vlm/truth.js';
import type { RgbImage, Vlm } from '../../lib/vlm/types.js';

const folder = fileURLToPath(new URL('../../../shared/data/easy_vqa/', import.meta.url));
const there = existsSync(folder);
if (!there) console.log('easy-VQA test skipped: the published model is not in ../shared/data/easy_vqa.');

interface Line {
  question: string;
  answer: string;
  image: string;
}

describe.skipIf(!there)('easy-VQA, a published classifier on its official test questions', () => {
  let scratch: string;
  let vlm: Vlm;
  let lines: Line[];
  const images = new Map<string, RgbImage>();

  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'fsyn-easy-vqa-'));
    await writeFile(join(scratch, 'easy-vqa.json'), JSON.stringify(easyVqaManifest(folder)));
    vlm = await loadVlm(join(scratch, 'easy-vqa.json'));
    const text = await readFile(`${folder}questions.jsonl`, 'utf8');
    lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
    for (const { image } of lines) {
      if (!images.has(image)) images.set(image, await decodeImage(`${folder}${image}`));
    }
  });
  afterAll(async () => {
    vlm?.dispose();
    await rm(scratch, { recursive: true });
  });

  it('answers at least 98 % of them', async () => {
    let right = 0;
    for (const { image, question, answer } of lines) {
      const sample = await vlm.prepare(images.get(image)!, question, { baseline: 'mean' });
      if (sample.answer.text === answer) right++;
    }
    expect(lines.length).toBe(1215);
    expect(right / lines.length).toBeGreaterThanOrEqual(0.98);
  });

  it('has a higher F_syn where the explanation names the shape and the words that matter', async () => {
    const colour = lines.filter(({ question }) =>
      /^what color is the (circle|triangle|rectangle)\?$/.test(question),
    );
    expect(colour.length).toBeGreaterThan(30);
    const means = { oracle: 0, antiOracle: 0 };
    for (const { image, question } of colour) {
      const sample = await vlm.prepare(images.get(image)!, question, { baseline: 'mean' });
      const truth = { boxes: [shapeBox(images.get(image)!)], words: decisiveWords(question) };
      const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
      const context = {
        sample,
        truth: mapTruth(truth, sample),
        seed: 1,
        evaluate: sample.evaluate.bind(sample),
      };
      const requests = {
        oracle: requestFaithfulness(table, await oracle.attribute(context)),
        antiOracle: requestFaithfulness(table, await antiOracle.attribute(context)),
      };
      const scores = await sample.evaluate(table);
      for (const name of ['oracle', 'antiOracle'] as const) {
        means[name] += scoreFaithfulness(requests[name], scores).synergy.raw.mean / colour.length;
      }
    }
    // The model multiplies image and question features, so the colour needs both.
    expect(means.oracle).toBeGreaterThan(0.2);
    expect(means.oracle).toBeGreaterThan(means.antiOracle + 0.1);
  });
});

/** The box around what differs from the background, which is the corner's colour. */
function shapeBox(image: RgbImage): [number, number, number, number] {
  const [height, width] = image.shape as [number, number, number];
  const box: [number, number, number, number] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * 3;
      const distance = [0, 1, 2].reduce((sum, c) => sum + Math.abs(image.data[at + c] - image.data[c]), 0);
      if (distance < 90) continue;
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x + 1);
      box[3] = Math.max(box[3], y + 1);
    }
  }
  return box;
}

function decisiveWords(question: string): [number, number][] {
  return Array.from(question.matchAll(/color|circle|triangle|rectangle/g), (m) => [
    m.index,
    m.index + m[0].length,
  ]);
}
