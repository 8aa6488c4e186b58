import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExplainContext, Explainer } from '../../lib/explainers/types.js';
import type { BenchmarkRecord } from '../../lib/report/record.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { defaultSettings } from '../../lib/runner/settings.js';
import { fakeDataset, fakeModel } from '../runner/fake-model.js';

const questions = ['is it red ?', 'is it blue ?', 'is it green ?'];
export const image = Array.from({ length: 16 }, (_, i) => Math.sin(i * 12.9898) / 3);
export const text = [0.1, -1 / 3, 0.2, 1e-17];

/** The same scores without leaving the process. */
export const inside: Explainer = {
  name: 'inside',
  title: 'inside',
  reference: 'test',
  needsTruth: false,
  attribute: async () => ({ image: Float64Array.from(image), text: Float64Array.from(text) }),
};

/** Rows of a run into a folder. */
export async function runInto(
  explainers: readonly Explainer[],
  folder: string,
  more: { resume?: boolean } = {},
) {
  await runBenchmark({
    models: [fakeModel()],
    datasets: [fakeDataset(questions)],
    explainers,
    out: folder,
    settings: defaultSettings,
    ...more,
  });
  const lines = readFileSync(join(folder, 'results.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as BenchmarkRecord);
}

/** What was measured, without the names. */
export function measured(rows: readonly BenchmarkRecord[], explainer: string) {
  return rows
    .filter((row) => row.explainer === explainer)
    .map((row) => row.status === 'ok' && [row.sample, row.attribution, row.synergy, row.image, row.text]);
}

export async function firstImage() {
  for await (const sample of fakeDataset(questions.slice(0, 1)).samples()) return sample.image();
  throw new Error('no sample');
}

export function context(sample: ExplainContext['sample']): ExplainContext {
  return { sample, seed: 0, evaluate: (cells, options) => sample.evaluate(cells, options) };
}
