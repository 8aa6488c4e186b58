import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explainers } from '../../lib/explainers/registry.js';
import { planBenchmark } from '../../lib/runner/plan.js';
import { defaultSettings } from '../../lib/runner/settings.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { loadTiny, question } from '../evaluator/support.js';
import { pattern } from '../vlm/pattern.js';

let model: Vlm;
beforeAll(async () => {
  model = await loadTiny();
});
afterAll(() => model.dispose());

const dataset = (size: number) => ({
  name: 'questions',
  version: '1',
  size,
  async *samples() {
    for (let i = 0; i < size; i++) {
      yield {
        id: `q${i}`,
        question,
        answer: 'yes',
        family: 'presence',
        image: async () => pattern(40 + i, 56),
      };
    }
  },
});
const whiteBox = explainers.filter(({ cells, byNameOnly }) => cells === undefined && !byNameOnly);

describe('planBenchmark', () => {
  test('eight explainers on one sample need at most 580 cells on 146 image states', async () => {
    expect(whiteBox).toHaveLength(8);
    const [plan] = await planBenchmark({ models: [model], datasets: [dataset(3)], explainers: whiteBox });
    const [sample] = plan.perSample;
    expect(sample).toMatchObject({
      alone: { cells: 76, imageStates: 20 },
      bound: { cells: 580, imageStates: 146 },
      explainerCells: 0,
    });
    // A ranking may repeat another's states by chance, which only saves.
    expect(sample.cells).toBeLessThanOrEqual(580);
    expect(sample.cells).toBeGreaterThan(500);
    expect(sample.plan).toMatchObject({
      cells: sample.cells,
      cachedCells: 0,
      imageStates: sample.imageStates,
      prefixes: sample.imageStates,
      suffixes: sample.cells,
      fallbacks: [],
    });
    expect(plan).toMatchObject({
      samples: 3,
      shapleySamples: 0,
      planned: 1,
      total: { cells: 3 * sample.cells },
    });
    expect(plan.total.flops).toBeCloseTo(3 * sample.plan!.flops!.total, 0);
    expect(plan.uncounted).toHaveLength(8);
  });

  test('counts what explainers ask for themselves and plans samples with the index apart', async () => {
    const [plan] = await planBenchmark({
      models: [model],
      datasets: [dataset(4)],
      explainers: explainers.filter(({ name }) => ['occlusion', 'random'].includes(name)),
      shapleySamples: 1,
      planSamples: 2,
      settings: { ...defaultSettings, shapleyGroups: 2, shapleyPartitions: 1 },
    });
    expect(plan).toMatchObject({ samples: 4, shapleySamples: 1, planned: 2, uncounted: [] });
    expect(plan.perSample.map(({ sample, shapley }) => `${sample} ${shapley}`)).toEqual([
      'q0 false',
      'q0 true',
      'q3 false',
      'q3 true',
    ]);
    const [without, withShapley] = plan.perSample;
    // The corners, and the full input with one player less at a time.
    const prepared = await model.prepare(pattern(40, 56), question);
    expect(without.explainerCells).toBe(4 + prepared.imagePlayers.count + prepared.textPlayers.count);
    expect(withShapley.cells).toBeGreaterThan(without.cells);
    const mean = (shapley: boolean) => {
      const chosen = plan.perSample.filter((sample) => sample.shapley === shapley);
      return chosen.reduce((sum, { cells }) => sum + cells, 0) / chosen.length;
    };
    expect(plan.total.cells).toBe(Math.round(3 * mean(false) + mean(true)));
  });

  test('a shard plans its own samples', async () => {
    const [plan] = await planBenchmark({
      models: [model],
      datasets: [dataset(5)],
      explainers: explainers.slice(0, 1),
      shard: { index: 1, count: 2 },
    });
    expect(plan.samples).toBe(2);
    // Of its two, q1 and q3, the one that the hash of the seed puts first.
    expect(plan.perSample[0].sample).toBe('q3');
  });

  test('refuses to plan nothing', async () => {
    await expect(planBenchmark({ models: [model], datasets: [dataset(1)] })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
