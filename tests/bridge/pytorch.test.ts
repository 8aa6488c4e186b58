import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EMBEDDED_MASKING } from '../../lib/datasets/embedded/dataset.js';
import { openDatasets } from '../../lib/datasets/open.js';
import { attnLrp } from '../../lib/explainers/attn-lrp.js';
import { integratedGradients } from '../../lib/explainers/integrated-gradients.js';
import { resolveExplainers } from '../../lib/explainers/module.js';
import { rollout } from '../../lib/explainers/rollout.js';
import type { MeasuredRecord } from '../../lib/report/record.js';
import { loadModels } from '../../lib/runner/models.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { defaultSettings } from '../../lib/runner/settings.js';
import { relativeError } from '../onnx/helpers.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'fsyn-pytorch-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

type Maps = Readonly<Record<string, { readonly image: number[]; readonly text: number[] }>>;
const explanations = JSON.parse(readFileSync(`${golden}embedded-explanations.json`, 'utf8')) as Record<
  string,
  Maps
>;

/** As the oracle computes them. */
const ours = [
  rollout,
  integratedGradients({ steps: 8, target: 'logit' }),
  attnLrp({ target: 'logit', reference: 'zero', visionGamma: { linear: 0 } }),
];

const rows = new Map<string, MeasuredRecord>();

beforeAll(async () => {
  const { samples } = JSON.parse(readFileSync(`${golden}embedded/llava-tiny.json`, 'utf8')) as {
    samples: { id: string; image: string; question: string; answer: string; choices: string[] | null }[];
  };
  const lines = samples.map(({ id, image, question, answer, choices }) =>
    JSON.stringify({
      id,
      image: `${golden}embedded/${image}`,
      question,
      answer,
      ...(choices && { choices }),
    }),
  );
  writeFileSync(join(home, 'data.jsonl'), `${lines.join('\n')}\n`);
  for (const [name, maps] of Object.entries(explanations)) {
    mkdirSync(join(home, name));
    for (const [id, map] of Object.entries(maps))
      writeFileSync(join(home, name, `${id}.json`), JSON.stringify(map));
  }
  const imported = Object.keys(explanations).map((name) => `import:pytorch-${name}=${join(home, name)}`);
  const [model] = await loadModels(['llava-tiny']);
  try {
    const outcome = await runBenchmark({
      models: [model],
      datasets: await openDatasets([join(home, 'data.jsonl')], { allowOutside: true }),
      explainers: [...ours, ...(await resolveExplainers(imported))],
      out: join(home, 'out'),
      settings: { ...defaultSettings, ...EMBEDDED_MASKING, shapleyGroups: 3, shapleyPartitions: 1 },
      shapleySamples: 1,
    });
    expect(outcome.failed).toBe(0);
  } finally {
    model.dispose();
  }
  for (const line of readFileSync(join(home, 'out', 'results.jsonl'), 'utf8')
    .trim()
    .split('\n')) {
    const row = JSON.parse(line) as MeasuredRecord;
    rows.set(`${row.explainer} ${row.sample}`, row);
  }
});

/**
 * PyTorch's maps are in float64, ours in float32, and signed scores are what is left of sums over pixels that
 * cancel: 1e-3 of the largest score. Two players whose scores differ by less than twice that could change
 * places; on these samples none do.
 */
const tolerance = 1e-3;

function order(scores: readonly number[]): number[] {
  return [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);
}

/** What was measured; the maps and the names aside. */
const measured = ({ image, text, synergy, corners, shapley, steps, players, answer }: MeasuredRecord) => ({
  image,
  text,
  synergy,
  corners,
  shapley,
  steps,
  players,
  answer,
});

describe.each(Object.keys(explanations))('%s of PyTorch, imported', (name) => {
  const pairs = () =>
    Object.keys(explanations[name]).map((id) => [
      rows.get(`${name} ${id}`)!,
      rows.get(`pytorch-${name} ${id}`)!,
    ]);

  test('is the map that is computed here', () => {
    expect(pairs()).toHaveLength(4);
    for (const [here, imported] of pairs()) {
      for (const side of ['image', 'text'] as const) {
        const [mine, theirs] = [here.attribution[side], imported.attribution[side]];
        expect(relativeError(mine, theirs)).toBeLessThan(tolerance);
      }
    }
  });

  test('has its row, every number of it, wherever the order of the players is the same', () => {
    let same = 0;
    for (const [here, imported] of pairs()) {
      const [a, b] = [here, imported].map(({ attribution }) =>
        (['image', 'text'] as const).map((side) => order(attribution[side])),
      );
      if (JSON.stringify(a) !== JSON.stringify(b)) continue;
      same++;
      expect(measured(imported)).toEqual(measured(here));
    }
    expect(same).toBe(4);
  });
});
