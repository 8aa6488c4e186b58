import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { Random } from '../../lib/statistics/random.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { pattern } from '../vlm/pattern.js';
import { distance } from './support.js';

const golden = (name: string) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));

/** As many cells as image states, all players drawn at random. */
function randomStates(sample: DecoderSample, count: number): CellTable {
  const random = new Random(17);
  const bits = (players: number) => Array.from({ length: players }, () => random.uniform() < 0.5);
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  while (cells.cellCount < count) {
    cells.cell(cells.imageState(bits(cells.imagePlayers)), cells.textState(bits(cells.textPlayers)));
  }
  return cells;
}

// Image states are encoded together from 17 on. Log-probabilities of order 10 in float32: ten roundings of
// 1e-6.
test.each([
  { name: 'vlm-llava', vision: 2, fallbacks: [] },
  { name: 'vlm-qwen', vision: 1, fallbacks: ['one-image-per-run'] },
])('$name: 40 image states are scored as one by one', async ({ name, vision, fallbacks }) => {
  const vlm = await loadVlm(golden(name));
  const sample = (await vlm.prepare(pattern(56, 56), 'Is there a red circle?', {
    maxNewTokens: 2,
  })) as DecoderSample;
  const cells = randomStates(sample, 40);
  const { plan, logProbabilities, execution } = await sample.evaluate(cells);
  const plain = await sample.evaluatePlainly(cells);
  expect(distance(logProbabilities, plain.logProbabilities)).toBeLessThan(1e-5);
  expect(plan.batches.vision).toBe(vision);
  expect(plan.fallbacks.map(({ code }) => code)).toEqual(fallbacks);
  expect(execution!.visionRuns).toBe(Math.ceil(40 / vision));
  // Another sample of the same geometry knows without a trial; the plan says it before anything is run.
  const again = await CoalitionEvaluator.create(sample.program());
  expect((await again.plan(cells)).fallbacks).toEqual(plan.fallbacks);
  vlm.dispose();
});
