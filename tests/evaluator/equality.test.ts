import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addon } from '../../lib/addon/addon.js';
import { runJob } from '../../lib/addon/job.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { createNativeProgram, sharedPrefixLength } from '../../lib/inference/program.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { cellsOf, distance, leastMemory, loadTiny, prepare, table } from './support.js';

// Log-probabilities of order 10 in float32 arithmetic whose sums run in another order: ten roundings of 1e-6.
const tolerance = 1e-5;

let vlm: Vlm;
beforeAll(async () => {
  vlm = await loadTiny();
});
afterAll(() => vlm.dispose());

describe.each(['remove', 'attend'] as const)('text masking %s', (textMasking) => {
  test('every cell equals its own full pass', async () => {
    const sample = await prepare(vlm, { textMasking });
    await fc.assert(
      fc.asyncProperty(cellsOf(sample), async (cells) => {
        const plain = await sample.evaluatePlainly(cells);
        const fresh = await CoalitionEvaluator.create(sample.program());
        const planned = await fresh.evaluate(cells);
        expect(distance(planned.logProbabilities, plain.logProbabilities)).toBeLessThan(tolerance);
        expect([planned.tokens, planned.decision]).toEqual([plain.tokens, plain.decision]);
      }),
      { numRuns: 25, seed: 11 },
    );
  });

  test('unshared and shared evaluation agree', async () => {
    const sample = await prepare(vlm, { textMasking });
    const unshared = await CoalitionEvaluator.create(sample.program(), { sharing: 'none' });
    await fc.assert(
      fc.asyncProperty(cellsOf(sample), async (cells) => {
        const shared = await CoalitionEvaluator.create(sample.program());
        const a = await shared.evaluate(cells);
        const b = await unshared.evaluate(cells);
        expect(a.plan.prefixTokens).toBeGreaterThan(0);
        expect(b.plan.prefixTokens).toBe(0);
        expect(distance(a.logProbabilities, b.logProbabilities)).toBeLessThan(tolerance);
      }),
      { numRuns: 15, seed: 12 },
    );
  });

  test('template players before the question leave a shorter prefix and the same values', async () => {
    const sample = await prepare(vlm, { textMasking, includeTemplate: true });
    const cells = fc.sample(cellsOf(sample), { seed: 3, numRuns: 1 })[0];
    const planned = await sample.evaluate(cells);
    const plain = await sample.evaluatePlainly(cells);
    expect(planned.plan.prefixTokens).toBe(sharedPrefixLength(sample.program()));
    expect(distance(planned.logProbabilities, plain.logProbabilities)).toBeLessThan(tolerance);
  });
});

test('leaving removed tokens out equals masking them', async () => {
  const sample = await prepare(vlm);
  const program = sample.program();
  const native = createNativeProgram(program, { prefixLength: sharedPrefixLength(program), compact: true });
  const texts = [1, 2, 3].map((k) =>
    Array.from({ length: sample.textPlayers.count }, (_, p) => p % (k + 1) === 0),
  );
  const image = Array.from({ length: sample.imagePlayers.count }, (_, p) => p % 3 !== 0);
  const cells = table(
    sample,
    texts.map((text) => ({ image, text })),
  );
  const schedule = {
    imagePlayers: cells.imagePlayers,
    textPlayers: cells.textPlayers,
    imageStates: cells.imageMasks(),
    textStates: cells.textMasks(),
    groupOffsets: Int32Array.of(0, 1),
    groupStates: Int32Array.of(0),
    rowOffsets: Int32Array.of(0, 3),
    rowSlots: Int32Array.of(0, 0, 0),
    rowTexts: Int32Array.of(0, 1, 2),
    runOffsets: Int32Array.of(0, 1, 2, 3),
    visionBatch: 1,
    prefixBatch: 1,
    workers: 1,
  };
  const result = await runJob(() => addon().evaluateCoalitions(native, schedule));
  const plain = await sample.evaluatePlainly(cells);
  expect(result.failure).toBeUndefined();
  expect(distance(result.logProbabilities, plain.logProbabilities)).toBeLessThan(tolerance);
});

test('the number of workers does not change a byte', async () => {
  const sample = await prepare(vlm);
  const cells = fc.sample(cellsOf(sample, 60), { seed: 5, numRuns: 1 })[0];
  const runs = [];
  for (const workers of [1, 2, 5]) {
    const evaluator = await CoalitionEvaluator.create(sample.program(), { workers });
    runs.push(Buffer.from((await evaluator.evaluate(cells)).logProbabilities.buffer));
  }
  expect(runs[1].equals(runs[0])).toBe(true);
  expect(runs[2].equals(runs[0])).toBe(true);
});

test('a smaller memory budget makes smaller batches and the same values', async () => {
  const sample = await prepare(vlm);
  const cells = fc.sample(cellsOf(sample, 60), { seed: 6, numRuns: 1 })[0];
  const large = await CoalitionEvaluator.create(sample.program());
  const small = await CoalitionEvaluator.create(sample.program(), {
    memory: await leastMemory(sample.program()),
  });
  const a = await large.evaluate(cells);
  const b = await small.evaluate(cells);
  expect(b.plan.batches).toEqual({ vision: 1, prefix: 1, suffix: 1 });
  expect(a.plan.batches.suffix).toBeGreaterThan(1);
  expect(b.execution!.suffixRuns).toBe(cells.cellCount);
  expect(distance(a.logProbabilities, b.logProbabilities)).toBeLessThan(tolerance);
});
