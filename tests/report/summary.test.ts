import { describe, expect, it } from 'vitest';
import { renderSummary } from '../../lib/report/console.js';
import type { BenchmarkRecord } from '../../lib/report/record.js';
import { pooledName, summarise } from '../../lib/report/summary.js';

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
  const groups = summarise(rows, { resamples: 200, seed: 1 });

  it('pool the datasets of a model without mixing samples of equal names', () => {
    expect(groups.map((group) => group.dataset)).toEqual([pooledName, 'a', 'b']);
    expect(groups[0].samples).toBe(6);
    expect(groups[0].accuracy).toBeCloseTo(4 / 6, 12);
    expect(groups[0].explainers[0]).toMatchObject({ explainer: 'oracle', samples: 6, shapleySamples: 6 });
  });

  it('tell the controls apart by paired differences', () => {
    const [{ better, worse, difference }] = groups[0].separation;
    expect([better, worse]).toEqual(['oracle', 'random']);
    expect(difference.estimate).toBeCloseTo(0.3, 12);
    expect(difference.low).toBeCloseTo(0.3, 12);
  });

  it('print every explainer with intervals, failures and the missing as missing', () => {
    const failed: BenchmarkRecord = {
      ...rows[0],
      key: 'x',
      sample: 's9',
      explainer: 'random',
      status: 'failed',
      error: { code: 'IMAGE', message: 'no' },
    } as BenchmarkRecord;
    const text = renderSummary(summarise([...rows, failed], { resamples: 200, seed: 1 }), { oracle: 0.25 });
    expect(text).toContain('m on all datasets: 6 samples, model accuracy 66.7 %');
    const random = text.split('\n').find((line) => line.startsWith('random'))!;
    expect(random.split(/\s{2,}/).slice(-5)).toEqual(['-', '0', '6', '1', '-']);
    expect(text).toContain('oracle - random: 0.300 [0.300, 0.300] -> told apart');
    expect(text).toContain('a (n=3, accuracy 67 %)');
  });
});
