import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderConsole } from '../../lib/report/console.js';
import type { BenchmarkRecord } from '../../lib/report/record.js';
import { buildReport } from '../../lib/report/report.js';
import { summariseReport, summaryJson } from '../../lib/report/summary.js';

/** A row whose F_syn variants are all `synergy`; only what summaries read matters. */
function row(
  dataset: string,
  sample: string,
  explainer: string,
  synergy: number,
  shapley: number | null,
): BenchmarkRecord {
  const head = {
    schema: 1,
    key: `${dataset}-${sample}-${explainer}`,
    model: 'm',
    modelFingerprint: 'f',
    dataset,
    datasetVersion: '1',
    sample,
    family: 'presence',
    grounding: 'grounded',
    explainer,
    settings: 's',
    seed: 0,
    versions: {},
    question: 'q',
    expected: 'yes',
  };
  const auc = { insertion: synergy, deletion: synergy, mean: synergy };
  const curve = {
    insertion: [0, 1],
    deletion: [1, 0],
    insertionAuc: synergy,
    deletionAuc: 0,
    normalisedInsertionAuc: synergy,
    normalisedDeletionAuc: 0,
    srg: synergy,
    normalisedSrg: synergy,
  };
  return {
    ...head,
    status: 'ok',
    answer: {
      text: 'yes',
      decisionToken: 'yes',
      decisionIndex: 0,
      decisionKind: 'yes-no',
      correct: sample !== 's1',
    },
    players: { image: 1, imageRows: 1, imageColumns: 1, text: 1 },
    textLabels: ['q'],
    attribution: { image: [1], text: [1] },
    steps: [0, 1],
    corners: { full: 1, textOnly: 0, imageOnly: 0, empty: 0 },
    image: curve,
    text: curve,
    synergy: { insertion: [0, synergy], deletion: [0, synergy], raw: auc, normalised: auc, clipped: auc },
    shapley: shapley === null ? null : { curve: [0, shapley], auc: shapley / 2, partitionDeviation: null },
  };
}

const rows = ['a', 'b'].flatMap((dataset) =>
  ['s0', 's1', 's2'].flatMap((sample, i) => [
    row(dataset, sample, 'oracle', 0.5 + i / 10, 0.4 + i / 10),
    row(dataset, sample, 'random', 0.2 + i / 10, null),
  ]),
);

describe('summaries', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'fsyn-summary-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const build = (records: readonly BenchmarkRecord[], keys?: ReadonlySet<string>) =>
    buildReport(folder, records, 'rows', { resamples: 200, seed: 1, keys });

  it('pool the datasets of a model without mixing samples of equal names', async () => {
    const [{ scopes }] = summariseReport(await build(rows));
    expect(scopes.map((scope) => scope.dataset)).toEqual([null, 'a', 'b']);
    expect(scopes[0].samples).toBe(6);
    expect(scopes[0].accuracy).toBeCloseTo(4 / 6, 12);
    expect(scopes[0].explainers[0]).toMatchObject({ name: 'oracle', samples: 6, shapley: { rows: 6 } });
  });

  it('tell the controls apart by paired differences', async () => {
    const [{ scopes }] = summariseReport(await build(rows));
    const [{ one, other, difference }] = scopes[0].controls;
    expect([one, other]).toEqual(['oracle', 'random']);
    expect(difference.estimate).toBeCloseTo(0.3, 12);
    expect(difference.low).toBeCloseTo(0.3, 12);
  });

  it('take the rows of the wanted keys only', async () => {
    const keys = new Set(rows.filter(({ dataset }) => dataset === 'b').map(({ key }) => key));
    const [{ scopes }] = summariseReport(await build(rows, keys));
    expect(scopes.map(({ dataset, samples }) => [dataset, samples])).toEqual([['b', 3]]);
  });

  it('are JSON with lists for typed arrays and null for what is missing', async () => {
    const summary = summariseReport(await build(rows));
    const [{ scopes }] = JSON.parse(summaryJson(summary));
    expect(scopes[0].explainers[1].secondsPerSample).toBeNull();
    expect(Object.keys(JSON.parse(summaryJson({ ranks: Float64Array.of(1, 2) })).ranks)).toEqual(['0', '1']);
    expect(JSON.parse(summaryJson({ ranks: Float64Array.of(1, 2) }))).toEqual({ ranks: [1, 2] });
  });

  it('print every explainer with failures, groundings, datasets and the missing as missing', async () => {
    const failed: BenchmarkRecord = {
      ...rows[0],
      key: 'x',
      sample: 's9',
      explainer: 'random',
      status: 'failed',
      error: { code: 'IMAGE', message: 'no' },
    } as BenchmarkRecord;
    const text = renderConsole(await build([...rows, failed]));
    expect(text).toContain('m: 7 samples, accuracy 67 %');
    const random = text.split('\n').find((line) => line.startsWith('random'))!;
    expect(random.split(/\s{2,}/).slice(-4)).toEqual(['-', '6', '1', '-']);
    expect(text).toMatch(/Failed rows\n.*\n.*\nm +random +IMAGE +1 +no$/m);
    expect(text).toContain('grounded (n=6)');
    expect(text).toContain('a (n=4, accuracy 67 %)');
    expect(text).toContain('Oracle) above Random: difference 0.300 [0.300, 0.300] on 6 grounded samples');
  });
});
