import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { embeddedDataset } from '../../lib/datasets/embedded/dataset.js';
import { openDatasets } from '../../lib/datasets/open.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { armNames, programOf, shapleyPasses, synergyPasses, timeArms } from '../../lib/speedup/arms.js';
import { measureSpeedup } from '../../lib/speedup/speedup.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { Vlm } from '../../lib/vlm/types.js';

// A random-weight LLaVA: what is counted here does not depend on what it learnt.
let model: Vlm;
const dataset = embeddedDataset({ families: ['presence'], size: 2 });
beforeAll(async () => {
  model = await loadVlm(join(import.meta.dirname, '../golden/vlm-llava'));
});
afterAll(() => model.dispose());

async function prepared() {
  for await (const sample of dataset.samples()) return model.prepare(await sample.image(), sample.question);
  throw new Error('the dataset is empty');
}

describe('the arms of the speed-up', () => {
  const shapley = { groups: 2, partitions: 1, seed: 1 };

  it('run as many passes as the published code: 70 for F_syn, 2 + 11 * 2^(G + 2) for the index', async () => {
    const program = programOf(await prepared());
    const attribution = {
      image: Float64Array.from({ length: program.imagePlayers }, (_, i) => -i),
      text: Float64Array.from({ length: program.textPlayers }, (_, i) => i),
    };
    expect(synergyPasses(program, attribution)).toHaveLength(70);
    expect(shapleyPasses(program, attribution, { ...shapley, groups: 6 })).toHaveLength(2818);
    const arms = await timeArms(program, attribution, shapley, undefined);
    expect(arms.map((arm) => arm.name)).toEqual([...armNames]);
    const [, publishedSynergy, plannedShapley, plannedSynergy] = arms;
    expect(plannedSynergy.cells).toBeLessThanOrEqual(58);
    expect(plannedSynergy.imageStates).toBeLessThanOrEqual(20);
    expect(plannedSynergy.flops).toBeLessThan(publishedSynergy.flops);
    expect(plannedShapley.cells).toBeLessThan(11 * 16);
    for (const arm of arms) expect(arm.seconds).toBeGreaterThan(0);
  });

  it('leave out samples that one modality answers, where there are others', async () => {
    const [mixed] = await openDatasets(['presence'], { size: 3 });
    const prior = embeddedDataset({ families: ['presence'], groundings: ['text-prior'], size: 1 });
    const options = { model, explainers: findExplainers(['random']), timed: 0, groups: 1 };
    const joint = await measureSpeedup({ ...options, dataset: mixed });
    expect([joint.correlated, joint.samples, joint.leftOut]).toEqual([1, 1, 2]);
    const alone = await measureSpeedup({ ...options, dataset: prior });
    expect([alone.correlated, alone.samples, alone.leftOut]).toEqual([1, 1, 0]);
  });

  it('correlate every variant with the index over all attributions', async () => {
    const report = await measureSpeedup({
      model,
      dataset,
      explainers: findExplainers(['oracle', 'random']),
      timed: 1,
      groups: 2,
    });
    expect([report.timed, report.correlated, report.arms.length]).toEqual([1, 4, 5]);
    expect([report.samples, report.leftOut]).toEqual([2, 0]);
    for (const { spearman } of report.agreement) expect(Math.abs(spearman)).toBeLessThanOrEqual(1);
  });
});
