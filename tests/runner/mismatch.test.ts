import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Dataset } from '../../lib/datasets/types.js';
import { findExplainers, selectExplainers } from '../../lib/explainers/registry.js';
import { explain } from '../../lib/measure/evaluate.js';
import { renderCsv } from '../../lib/report/csv.js';
import { renderHtml } from '../../lib/report/html.js';
import { renderMarkdown } from '../../lib/report/markdown.js';
import { readReport } from '../../lib/runner/conclude.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { mapTruth } from '../../lib/vlm/truth.js';
import { fakeDataset, fakeModel } from './fake-model.js';

const folder = mkdtempSync(join(tmpdir(), 'fsyn-mismatch-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The fake data with a distractor in the last cell of every sample but the first. */
function withDistractors(questions: readonly string[]): Dataset {
  const plain = fakeDataset(questions);
  return {
    ...plain,
    async *samples() {
      for await (const sample of plain.samples()) {
        const truth = sample.truth!;
        yield sample.id === 'q0' ? sample : { ...sample, truth: { ...truth, distractors: [[6, 6, 8, 8]] } };
      }
    },
  };
}

test('points at the right words and at a distractor, and has rows where one is named', async () => {
  const explainers = findExplainers(['oracle', 'anti-oracle', 'mismatch', 'random']);
  const datasets = [withDistractors(['a b c', 'a b d', 'a b e', 'a b f', 'a b g', 'a b h'])];
  await runBenchmark({ models: [fakeModel()], datasets, explainers, out: folder });
  const rows = [...readRecords(folder)].filter((row) => row.status === 'ok');
  const of = (name: string) => rows.filter(({ explainer }) => explainer === name);
  expect(of('mismatch').map(({ sample }) => sample)).toEqual(['q1', 'q2', 'q3', 'q4', 'q5']);
  for (const row of of('mismatch')) {
    expect(row.attribution.image.indexOf(1)).toBe(15);
    expect(row.attribution.text).toEqual(of('oracle')[0].attribution.text);
    expect(row.plausibility).toEqual({
      image: { pointing: 0, energy: 0, iou: 0 },
      text: { pointing: 1, energy: 1, iou: 1 },
    });
  }
  expect(of('oracle')[0].plausibility?.image).toEqual({ pointing: 1, energy: 1, iou: 1 });

  const report = await readReport(folder, { resamples: 200 });
  const [pair] = report.models[0].overall.controls.filter(
    ({ one, other }) => one === 'oracle' && other === 'mismatch',
  );
  expect(pair).toMatchObject({ samples: 5, wins: 1 });
  expect(pair.difference.estimate).toBeGreaterThan(0);
  expect(renderMarkdown(report)).toContain('Plausibility beside faithfulness');
  expect(renderCsv(report)).toMatch(/mismatch,,mean_imageEnergy,0,/);
  const page = await renderHtml(report);
  expect(page).toContain('Plausible or faithful?');
  expect(page).toContain('--mismatch:');
});

test('is asked for by name, and says what it lacks', async () => {
  expect(selectExplainers(['all']).map(({ name }) => name)).not.toContain('mismatch');
  const sample = await fakeModel().prepare({} as never, 'a b c');
  await expect(
    explain(sample, 'mismatch', { truth: { image: new Uint8Array(16), text: new Uint8Array(3) } }),
  ).rejects.toThrow('names distractors');
});

test('a cell that decides is no distractor, and a distractor outside the picture is none', async () => {
  const sample = await fakeModel().prepare({} as never, 'a b c');
  const truth = { boxes: [[2, 2, 4, 4]], words: [[2, 3]] } as const;
  const marked = mapTruth({ ...truth, distractors: [[2, 2, 6, 4]] }, sample);
  expect(Array.from(marked.distractors!.entries()).flatMap(([i, is]) => (is ? [i] : []))).toEqual([6]);
  expect(mapTruth({ ...truth, distractors: [[2, 2, 4, 4]] }, sample).distractors).toBeUndefined();
  expect(mapTruth({ ...truth, distractors: [[90, 90, 95, 95]] }, sample).distractors).toBeUndefined();
});
