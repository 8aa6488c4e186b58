import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { Explainer } from '../../lib/explainers/types.js';
import { sessionsOf } from '../../lib/explainers/white-box/sessions.js';
import { runBenchmark } from '../../lib/runner/run.js';
import type { WhiteBox } from '../../lib/vlm/types.js';
import { fakeDataset, fakeModel } from './fake-model.js';

const out = mkdtempSync(join(tmpdir(), 'fsyn-graphs-'));
afterEach(() => rmSync(out, { recursive: true, force: true }));

it('opens the graphs of a model once and closes them when it goes on to the next model', async () => {
  const log: string[] = [];
  const models = ['first', 'second'].map((name) => ({ ...fakeModel(), name, fingerprint: name }));
  let [model, samples] = ['', 0];
  /** Works with a graph as white-box explainers do. */
  const explainer: Explainer = {
    name: 'graph-user',
    title: 'Graph user',
    reference: 'none',
    needsTruth: false,
    async attribute({ sample }) {
      // Two samples of each model, in order.
      if (samples++ % 2 === 0) model = models[Math.floor((samples - 1) / 2)]?.name ?? '';
      const files = { visionModel: model, embedModel: model, decoderModel: model } as WhiteBox;
      const open = async () => {
        log.push(`open ${model}`);
        const name = model;
        return { dispose: () => log.push(`close ${name}`) };
      };
      await sessionsOf(files).use('graph', open, async () => log.push(`use ${model}`));
      const { imagePlayers, textPlayers } = sample;
      return { image: new Float64Array(imagePlayers.count), text: new Float64Array(textPlayers.count) };
    },
  };
  const outcome = await runBenchmark({
    models,
    datasets: [fakeDataset(['a bb cc d', 'a bb cc e'])],
    explainers: [explainer],
    out,
  });
  expect(outcome.failed).toBe(0);
  const each = (name: string) => [`open ${name}`, `use ${name}`, `use ${name}`, `close ${name}`];
  expect(log).toEqual([...each('first'), ...each('second')]);
});
