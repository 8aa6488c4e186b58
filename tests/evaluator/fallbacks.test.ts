import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import type { Fallback } from '../../lib/inference/plan.js';
import type { EvaluatorProgram } from '../../lib/inference/program.js';
import { Session } from '../../lib/inference/session.js';
import { makeNode } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { int64Tensor } from '../../lib/onnx/tensors.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { fullPasses } from './full-pass.js';
import { cellsOf, distance, loadTiny, prepare, tinyLlava } from './support.js';

let vlm: Vlm;
let sample: DecoderSample;
beforeAll(async () => {
  vlm = await loadTiny();
  sample = await prepare(vlm);
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

/** The sample with its first text player at the front of the prompt. */
function firstTokenIsPlayer(textMasking: 'remove' | 'attend'): EvaluatorProgram {
  const program = sample.program();
  const textPositions = program.textPositions.slice();
  textPositions[0] = 0;
  return { ...program, textMasking, textPositions };
}

type Code = Fallback['code'];

/**
 * Random cells, planned and each as a full pass of its own. The tolerance is 1e-5 and two roundings of the
 * value: the grouped-query decoder's log-probabilities are about -435, where one step of float32 is 3e-5.
 */
async function equalsFullPasses(program: EvaluatorProgram, expected: readonly Code[]): Promise<void> {
  await fc.assert(
    fc.asyncProperty(cellsOf(sample, 12), async (cells) => {
      const planned = await (await CoalitionEvaluator.create(program)).evaluate(cells);
      expect(planned.plan.fallbacks.map(({ code }) => code)).toEqual(expected);
      expect(planned.plan.fallbacks.every(({ reason }) => reason.length > 20)).toBe(true);
      const full = await fullPasses(program, cells);
      expect(planned.logProbabilities).toHaveLength(full.length);
      for (const [i, value] of planned.logProbabilities.entries()) {
        expect(Math.abs(value - full[i])).toBeLessThan(1e-5 + 2 ** -22 * Math.abs(full[i]));
      }
    }),
    { numRuns: 6, seed: 21 },
  );
}

const planOf = async (program: EvaluatorProgram) =>
  (await CoalitionEvaluator.create(program)).plan(fc.sample(cellsOf(sample), { seed: 22, numRuns: 1 })[0]);

describe.each(['remove', 'attend'] as const)('text masking %s', (masking) => {
  test('nothing in the way: no fallback', async () => {
    await equalsFullPasses({ ...sample.program(), textMasking: masking }, []);
  });

  test('a decoder without a cache runs full passes', async () => {
    const program = await on('without_cache', masking);
    await equalsFullPasses(program, ['no-cache']);
    expect(await planOf(program)).toMatchObject({ prefixTokens: 0, prefixes: 0 });
  });

  test('a decoder whose tokens attend to later ones runs full passes', async () => {
    const program = await on('bidirectional', masking);
    await equalsFullPasses(program, ['prefix-not-causal']);
    expect(await planOf(program)).toMatchObject({ prefixTokens: 0, prefixes: 0 });
  });

  test('a first token that is a text player leaves nothing to share', async () => {
    const program = firstTokenIsPlayer(masking);
    await equalsFullPasses(program, ['nothing-shared']);
    expect(await planOf(program)).toMatchObject({ prefixTokens: 0, prefixes: 0 });
  });
});

test('a decoder that refuses batches on a cache runs one sequence at a time', async () => {
  const program = await on('grouped_query', 'attend');
  await equalsFullPasses(program, ['one-row-per-run']);
  const plan = await planOf(program);
  expect(plan.prefixTokens).toBeGreaterThan(0);
  expect(plan.batches.suffix).toBe(1);
});

test('attention that ignores mask holes gets sequences without the removed tokens', async () => {
  const program = { ...(await on('grouped_query', 'remove')), leaveOut: true };
  await equalsFullPasses(program, ['tokens-left-out']);
  expect((await planOf(program)).prefixTokens).toBeGreaterThan(0);
  // What stands in for a removed token cannot matter.
  const cells = fc.sample(cellsOf(sample), { seed: 22, numRuns: 1 })[0];
  const planned = await (await CoalitionEvaluator.create(program)).evaluate(cells);
  const other = await CoalitionEvaluator.create({ ...program, padTokenId: program.tokenIds[0] });
  expect((await other.evaluate(cells)).logProbabilities).toEqual(planned.logProbabilities);
});

test('removed tokens are left out of full passes, too', async () => {
  const program = { ...firstTokenIsPlayer('remove'), leaveOut: true };
  await equalsFullPasses(program, ['tokens-left-out', 'nothing-shared']);
  expect((await planOf(program)).batches.suffix).toBe(1);
});

test('without positions such a decoder is refused', async () => {
  const program = { ...(await on('grouped_query', 'remove')), leaveOut: true };
  const { positions: _, ...wiring } = program.wiring;
  await expect(CoalitionEvaluator.create({ ...program, wiring })).rejects.toMatchObject({
    code: 'UNSUPPORTED_MODEL',
    message: expect.stringContaining('position_ids'),
  });
});

/**
 * The sample on a decoder that numbers the tokens of its sequence itself, whatever positions it is given, if
 * it takes any.
 */
async function numbersTokensItself(takesPositions: boolean): Promise<EvaluatorProgram> {
  const program = sample.program();
  const folder = join(tinyLlava, 'onnx');
  const model = await OnnxModel.load(join(folder, 'decoder_model_merged.onnx'));
  const { graph } = model;
  graph.replaceUses('position_ids', 'own/positions');
  if (!takesPositions) graph.proto.input = graph.proto.input.filter(({ name }) => name !== 'position_ids');
  const scalar = (name: string, value: number) => graph.addInitializer(int64Tensor(name, [value], []));
  const [one, zero] = [scalar('own/one', 1), scalar('own/zero', 0)];
  graph.setNodes([
    makeNode('Shape', ['attention_mask'], ['own/mask']),
    makeNode('Shape', ['inputs_embeds'], ['own/embeds']),
    makeNode('Gather', ['own/mask', one], ['own/end']),
    makeNode('Gather', ['own/embeds', one], ['own/count']),
    makeNode('Sub', ['own/end', 'own/count'], ['own/begin']),
    makeNode('Range', ['own/begin', 'own/end', one], ['own/range']),
    makeNode('Unsqueeze', ['own/range', graph.addInt64('own/axis', [0])], ['own/row']),
    makeNode('Gather', ['own/embeds', zero], ['own/batch']),
    makeNode('Unsqueeze', ['own/batch', graph.addInt64('own/axes', [0])], ['own/batches']),
    makeNode('Unsqueeze', ['own/count', graph.addInt64('own/axis', [0])], ['own/counts']),
    makeNode('Concat', ['own/batches', 'own/counts'], ['own/shape'], { attributes: { axis: 0 } }),
    makeNode('Expand', ['own/row', 'own/shape'], ['own/positions']),
    ...graph.nodes,
  ]);
  const { rows: _rows, keep: _keep, positions, ...wiring } = program.wiring;
  const decoder = await Session.load(model.serialize(), { externalDataFolder: folder });
  return { ...program, decoder, wiring: takesPositions ? { ...wiring, positions: positions! } : wiring };
}

test('removed tokens stay in place where the decoder takes no positions', async () => {
  const program = await numbersTokensItself(false);
  await equalsFullPasses(program, ['tokens-kept']);
  const { suffixWork, prefixTokens } = await planOf(program);
  expect(prefixTokens).toBeGreaterThan(0);
  expect(suffixWork.tokens).toBe(suffixWork.withRemoved);
});

test('removed tokens stay in place where leaving them out gives other scores', async () => {
  const program = await numbersTokensItself(true);
  await equalsFullPasses(program, ['tokens-kept']);
  const plan = await planOf(program);
  expect(plan.fallbacks[0].reason).toMatch(/differ by/);
  expect(plan.batches.suffix).toBeGreaterThan(1);
  // Attended words are no holes: nothing could be left out.
  await equalsFullPasses({ ...program, textMasking: 'attend' }, []);
});

test('removed tokens stay in place where they belong to a window of attention', async () => {
  const { tokenIds } = sample.program();
  await equalsFullPasses({ ...sample.program(), attentionWindow: tokenIds.length - 1 }, ['tokens-kept']);
  await equalsFullPasses({ ...sample.program(), attentionWindow: tokenIds.length }, []);
});

test('a decoder that makes much of rounding is not taken for one that computes something else', async () => {
  const program = sample.program();
  const folder = join(tinyLlava, 'onnx');
  const model = await OnnxModel.load(join(folder, 'decoder_model_merged.onnx'));
  const { graph } = model;
  const gain = graph.addFloat32('gain', [2000]);
  graph.producerOf('logits')!.output = ['quiet'];
  graph.setNodes([...graph.nodes, makeNode('Mul', ['quiet', gain], ['logits'], { name: 'loud' })]);
  const { rows: _rows, keep: _keep, ...wiring } = program.wiring;
  const decoder = await Session.load(model.serialize(), { externalDataFolder: folder });
  const loud = { ...program, decoder, wiring };
  const cells = fc.sample(cellsOf(sample), { seed: 23, numRuns: 1 })[0];
  const planned = await (await CoalitionEvaluator.create(loud)).evaluate(cells);
  expect(planned.plan.fallbacks).toEqual([]);
  const apart = distance(planned.logProbabilities, await fullPasses(loud, cells));
  // Otherwise there would have been nothing to see through.
  expect(apart).toBeGreaterThan(1e-4);
  expect(apart).toBeLessThan(1e-2);
});

/**
 * The sample on a decoder whose sequences reach into those that share their run: a part of their mean is
 * added to each.
 */
async function meetsInBatches(): Promise<EvaluatorProgram> {
  const program = sample.program();
  const folder = join(tinyLlava, 'onnx');
  const model = await OnnxModel.load(join(folder, 'decoder_model_merged.onnx'));
  const { graph } = model;
  graph.replaceUses('inputs_embeds', 'met');
  const part = graph.addFloat32('part', [0.1]);
  graph.setNodes([
    makeNode('ReduceMean', ['inputs_embeds'], ['mean'], { attributes: { axes: [0], keepdims: 1 } }),
    makeNode('Mul', ['mean', part], ['share']),
    makeNode('Add', ['inputs_embeds', 'share'], ['met']),
    ...graph.nodes,
  ]);
  const { rows: _rows, keep: _keep, ...wiring } = program.wiring;
  const decoder = await Session.load(model.serialize(), { externalDataFolder: folder });
  return { ...program, decoder, wiring };
}

test('prefixes and sequences that reach into each other are run one by one', async () => {
  const program = await meetsInBatches();
  const cells = new CellTable(program.imagePlayers, program.textPlayers);
  // Prefixes are run together from 17 image states on.
  for (let i = 0; i < 20; i++) {
    const bits = Array.from({ length: cells.imagePlayers }, (_, p) => ((3 * i + 5) >> (p % 6)) & 1);
    const image = cells.imageState(bits);
    for (const t of [2, 3]) {
      cells.cell(image, cells.textState(Array.from({ length: cells.textPlayers }, (_, p) => p % t === 0)));
    }
  }
  const { plan, logProbabilities } = await (await CoalitionEvaluator.create(program)).evaluate(cells);
  expect(plan.fallbacks.map(({ code }) => code).sort()).toEqual(['one-prefix-per-run', 'one-row-per-run']);
  expect(plan.imageStates).toBe(20);
  expect(plan.batches).toMatchObject({ vision: 2, prefix: 1, suffix: 1 });
  expect(distance(logProbabilities, await fullPasses(program, cells))).toBeLessThan(1e-5);
});

test('where the plain passes of a trial fail, nothing is believed', async () => {
  const program = await meetsInBatches();
  const broken = { ...program, baselinePixels: program.baselinePixels.map(() => Number.NaN) };
  const { fallbacks, prefixTokens, batches } = await planOf(broken);
  expect(fallbacks).toMatchObject([
    { code: 'untried', reason: expect.stringMatching(/not numbers.*every cell is a full pass/s) },
  ]);
  expect([prefixTokens, batches.vision, batches.suffix]).toEqual([0, 1, 1]);
  // Nothing was learnt about the decoder: with another sample it is tried.
  expect((await planOf(program)).prefixTokens).toBeGreaterThan(0);
});
