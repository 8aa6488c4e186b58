import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import type { EvaluatorProgram } from '../../lib/inference/program.js';
import { Session } from '../../lib/inference/session.js';
import type { CellTable } from '../../lib/metrics/cells.js';
import type { DecoderSample } from '../../lib/vlm/decoder-sample.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { cellsOf, distance, leastMemory, loadTiny, prepare } from './support.js';

let vlm: Vlm;
let sample: DecoderSample;
let cells: CellTable;
beforeAll(async () => {
  vlm = await loadTiny();
  sample = await prepare(vlm);
  cells = fc.sample(cellsOf(sample), { seed: 21, numRuns: 1 })[0]!;
});
afterAll(() => vlm.dispose());

/** The sample on another decoder (tests/oracles/evaluator_models.py), whose vocabulary has 64 tokens. */
async function on(decoderName: string, textMasking: 'remove' | 'attend'): Promise<EvaluatorProgram> {
  const path = fileURLToPath(new URL(`../fixtures/evaluator/${decoderName}.onnx`, import.meta.url));
  const decoder = await Session.load(path);
  const has = (name: string) => decoder.inputs.some((input) => input.name === name);
  const caches = ['0.key', '0.value', '1.key', '1.value']
    .map((name) => ({ input: `past_key_values.${name}`, output: `present.${name}` }))
    .filter(({ input }) => has(input));
  return {
    ...sample.program(),
    decoder,
    textMasking,
    wiring: {
      embeds: 'inputs_embeds',
      mask: 'attention_mask',
      positions: 'position_ids',
      logits: 'logits',
      caches,
    },
    targets: sample.program().targets.map((token) => token % 64),
  };
}

/** Scores of every cell on its own, as a full pass, and of all of them as planned. */
async function bothWays(program: EvaluatorProgram) {
  const planned = await (await CoalitionEvaluator.create(program)).evaluate(cells);
  const memory = await leastMemory(program);
  const full = await (await CoalitionEvaluator.create(program, { sharing: 'none', memory })).evaluate(cells);
  return { planned, full, codes: planned.plan.fallbacks.map((fallback) => fallback.code) };
}

test.each(['remove', 'attend'] as const)(
  'a decoder without a cache runs full passes (%s)',
  async (masking) => {
    const { planned, full, codes } = await bothWays(await on('without_cache', masking));
    expect(codes).toEqual(['no-cache']);
    expect(planned.plan).toMatchObject({ prefixTokens: 0, prefixes: 0 });
    expect(distance(planned.logProbabilities, full.logProbabilities)).toBeLessThan(1e-5);
  },
);

test.each(['remove', 'attend'] as const)(
  'a decoder whose tokens attend to later ones runs full passes (%s)',
  async (masking) => {
    const { planned, full, codes } = await bothWays(await on('bidirectional', masking));
    expect(codes).toEqual(['prefix-not-causal']);
    expect(planned.plan.prefixTokens).toBe(0);
    expect(distance(planned.logProbabilities, full.logProbabilities)).toBeLessThan(1e-5);
  },
);

test('a decoder that refuses batches on a cache runs one sequence at a time', async () => {
  const { planned, full, codes } = await bothWays(await on('grouped_query', 'attend'));
  expect(codes).toEqual(['one-row-per-run']);
  expect(planned.plan.prefixTokens).toBeGreaterThan(0);
  expect(planned.plan.batches.suffix).toBe(1);
  expect(distance(planned.logProbabilities, full.logProbabilities)).toBeLessThan(1e-5);
});

test('attention that ignores mask holes gets sequences without the removed tokens', async () => {
  const program = { ...(await on('grouped_query', 'remove')), leaveOut: true };
  const { planned, full, codes } = await bothWays(program);
  expect(codes).toEqual(['tokens-left-out']);
  expect(planned.plan.prefixTokens).toBeGreaterThan(0);
  expect(distance(planned.logProbabilities, full.logProbabilities)).toBeLessThan(1e-5);
  // What stands in for a removed token cannot matter.
  const other = await CoalitionEvaluator.create({ ...program, padTokenId: program.tokenIds[0]! });
  expect((await other.evaluate(cells)).logProbabilities).toEqual(planned.logProbabilities);
});

test('without positions such a decoder is refused', async () => {
  const program = { ...(await on('grouped_query', 'remove')), leaveOut: true };
  const { positions: _, ...wiring } = program.wiring;
  await expect(CoalitionEvaluator.create({ ...program, wiring })).rejects.toMatchObject({
    code: 'UNSUPPORTED_MODEL',
    message: expect.stringContaining('position_ids'),
  });
});
