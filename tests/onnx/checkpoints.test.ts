import { fileURLToPath } from 'node:url';
import ndarray from 'ndarray';
import { afterAll, describe, expect, test } from 'vitest';
import { releaseWhiteBoxSessions, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import type { TensorValue } from '../../lib/inference/session.js';
import type { NativeTensor } from '../../lib/inference/tensor.js';
import { remember } from '../../lib/lease.js';
import { DifferentiableModel } from '../../lib/onnx/differentiable.js';
import { selectLogits } from '../../lib/onnx/head.js';
import type { OnnxModel } from '../../lib/onnx/model.js';
import { prepareModel } from '../../lib/onnx/prepare.js';
import { SplitModel, type SplitOptions } from '../../lib/onnx/split.js';
import { type Feeds, openSession } from '../../lib/onnx/types.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { pattern } from '../vlm/pattern.js';
import { DataType, float, node, randomStream, relativeError, sketch, valuesOf } from './helpers.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
afterAll(() => releaseWhiteBoxSessions());

/**
 * The same operators on the same numbers; only ONNX Runtime's fusion across a checkpoint is lost, which
 * changes the order of a sum: a few units in the last place of float32.
 */
const TOLERANCE = 2e-6;

interface Part {
  readonly source: OnnxModel;
  readonly feeds: Feeds;
  readonly options: SplitOptions;
}

const known = new Map<string, Promise<Record<'vision' | 'decoder', Part>>>();

/**
 * Both graphs of a tiny random model of a real class, prepared as the explainers do; models that are built on
 * them copy them.
 */
function partsOf(name: string, size: [number, number]): Promise<Record<'vision' | 'decoder', Part>> {
  return remember(known, name, () => makeParts(name, size));
}

async function makeParts(name: string, size: [number, number]): Promise<Record<'vision' | 'decoder', Part>> {
  const vlm = await loadVlm(`${golden}vlm-${name}`);
  const sample = await vlm.prepare(pattern(...size), 'Is there a dog?', { maxNewTokens: 2 });
  const chain = WhiteBoxChain.of(sample, 'test');
  const { whiteBox, length } = chain;
  const embeddings = await chain.embed(whiteBox.tokenIds.subarray(0, length));
  vlm.dispose();
  const decoder = await prepareModel(whiteBox.decoderModel);
  selectLogits(decoder, { rows: 'logit_positions' });
  const row = ndarray(BigInt64Array.of(BigInt(length - 1)), [1]) as unknown as TensorValue;
  return {
    vision: {
      source: await prepareModel(whiteBox.visionModel),
      feeds: chain.visionFeeds(),
      options: { output: whiteBox.featureOutput, attentions: true, probe: chain.visionFeeds() },
    },
    decoder: {
      source: decoder,
      feeds: { ...chain.decoderFeeds(embeddings), logit_positions: row },
      options: { wrt: ['inputs_embeds'], attentions: true, hiddenStates: true },
    },
  };
}

function cotangentOf(output: TensorValue): TensorValue {
  const next = randomStream(3);
  return ndarray(valuesOf(output).map(next), [...output.shape]) as TensorValue;
}

async function gradients({ source, feeds, options }: Part, more: SplitOptions) {
  using model = await SplitModel.load(source, { ...options, ...more });
  using pass = await model.forward(feeds);
  const cotangent = cotangentOf(pass.output);
  const first = await pass.backward(cotangent);
  const second = await pass.backward(cotangent);
  return { output: pass.output, values: pass.values, first, second };
}

const cases: readonly { name: string; title: string; size: [number, number] }[] = [
  { name: 'llava', title: 'LLaVA', size: [24, 24] },
  { name: 'qwen', title: 'Qwen2.5-VL', size: [60, 80] },
  { name: 'internvl', title: 'InternVL-3.5', size: [40, 44] },
];

describe.each(cases)('$title', { timeout: 300_000 }, ({ name, size }) => {
  test.each(['vision', 'decoder'] as const)(
    'checkpoints change no gradient of the %s graph',
    async (which) => {
      const part = (await partsOf(name, size))[which];
      const plain = await gradients(part, { checkpoints: 'never' });
      const checkpointed = await gradients(part, { checkpoints: 'always' });
      expect(Object.keys(checkpointed.first)).toEqual(Object.keys(plain.first));
      expect(Object.keys(plain.first).length).toBeGreaterThan(2);
      for (const [tensor, gradient] of Object.entries(plain.first)) {
        const ours = valuesOf(checkpointed.first[tensor]);
        expect(relativeError(ours, valuesOf(gradient)), tensor).toBeLessThan(TOLERANCE);
        // A second cotangent finds everything that the first one found.
        expect(valuesOf(checkpointed.second[tensor]), tensor).toEqual(ours);
      }
      for (const [tensor, value] of Object.entries(plain.values)) {
        expect(relativeError(valuesOf(checkpointed.values[tensor]), valuesOf(value)), tensor).toBeLessThan(
          TOLERANCE,
        );
      }
      expect(relativeError(valuesOf(checkpointed.output), valuesOf(plain.output))).toBeLessThan(TOLERANCE);
    },
  );

  test.each(['vision', 'decoder'] as const)('the %s graph: the estimate decides', async (which) => {
    const part = (await partsOf(name, size))[which];
    const { source, feeds } = part;
    // Attention maps of two blocks that are asked for are kept either way.
    const options = { ...part.options, attentions: which === 'decoder' };
    using model = await SplitModel.load(source, options);
    const estimate = await model.estimate(feeds);
    expect(estimate.unknown).toEqual([]);
    expect(estimate.segments).toBeGreaterThan(2);
    // Two or three blocks only, and a projector behind them that is kept either way.
    expect(estimate.checkpointed.kept).toBeLessThan(0.7 * estimate.plain.kept);
    const [plain, least] = [
      estimate.plain.peak + estimate.plain.weights,
      estimate.checkpointed.peak + estimate.checkpointed.weights,
    ];
    expect(least).toBeLessThan(plain);
    const gradientsWithin = async (memory: number) => {
      using pass = await model.forward(feeds, { memory });
      return await pass.backward(cotangentOf(pass.output));
    };
    const all = await gradientsWithin(plain);
    const few = await gradientsWithin(least);
    for (const [tensor, gradient] of Object.entries(all)) {
      expect(relativeError(valuesOf(few[tensor]), valuesOf(gradient)), tensor).toBeLessThan(TOLERANCE);
    }
    await expect(model.forward(feeds, { memory: least - 1 })).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/need \d+ MiB .* \d+ MiB are available\. Use a smaller image/),
    });
    using never = await SplitModel.load(source, { ...options, checkpoints: 'never', memory: plain - 1 });
    await expect(never.forward(feeds)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringContaining('leave the option checkpoints at auto'),
    });
  });
});

describe.each(cases)('one graph for both passes of $title', { timeout: 300_000 }, ({ name, size }) => {
  const target = { position: -1, token: 3, against: 5 };
  const decoderOf = async (options: { checkpoints?: 'always' | 'never'; memory?: number } = {}) => {
    const { source, feeds } = (await partsOf(name, size)).decoder;
    const more = { wrt: ['inputs_embeds'], attentions: true, hiddenStates: true, ...options };
    const { logit_positions: _, ...rest } = feeds;
    return { model: await DifferentiableModel.load(source.source, more), feeds: rest };
  };

  test('checkpoints change nothing', async () => {
    const run = async (checkpoints: 'always' | 'never') => {
      const { model, feeds } = await decoderOf({ checkpoints });
      using open = model;
      return open.run(feeds, target);
    };
    const [plain, checkpointed] = [await run('never'), await run('always')];
    const flat = ({ output, gradients, values, ...lists }: typeof plain) => ({
      output,
      ...Object.fromEntries(Object.entries(gradients).map(([key, value]) => [`gradient ${key}`, value])),
      ...Object.fromEntries(Object.entries(values).map(([key, value]) => [`value ${key}`, value])),
      ...Object.fromEntries(
        Object.entries(lists).flatMap(([key, list]) => list.map((value, i) => [`${key} ${i}`, value])),
      ),
    });
    const [ours, theirs] = [flat(checkpointed), flat(plain)] as Record<string, TensorValue>[];
    expect(Object.keys(ours!)).toEqual(Object.keys(theirs!));
    expect(Object.keys(ours!).length).toBeGreaterThan(12);
    for (const [key, value] of Object.entries(theirs!)) {
      expect(relativeError(valuesOf(ours![key]), valuesOf(value)), key).toBeLessThan(TOLERANCE);
    }
  });

  test('the estimate decides', async () => {
    const { model, feeds } = await decoderOf();
    using open = model;
    const estimate = await open.estimate(feeds, target);
    expect(estimate.unknown).toEqual([]);
    expect(estimate.segments).toBeGreaterThan(2);
    const bytes = ({ peak, weights }: { peak: number; weights: number }) => peak + weights;
    const [all, least] = [bytes(estimate.plain), bytes(estimate.checkpointed)];
    expect(least).toBeLessThan(all);
    // One budget runs everything at once, one less needs checkpoints, and below these nothing runs.
    const whole = await open.run(feeds, target, { memory: all });
    const [again, parts] = await Promise.all([
      open.run(feeds, target),
      open.run(feeds, target, { memory: all - 1 }),
    ]);
    expect(again).toEqual(whole);
    const [exact, close] = [whole, parts].map(({ gradients }) => valuesOf(gradients.inputs_embeds));
    expect(relativeError(close!, exact!)).toBeLessThan(TOLERANCE);
    await expect(open.run(feeds, target, { memory: least - 1 })).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/need \d+ MiB .* \d+ MiB are available\. Use a smaller image/),
    });
    const never = await decoderOf({ checkpoints: 'never', memory: all - 1 });
    await expect(never.model.run(never.feeds, target)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringContaining('leave the option checkpoints at auto'),
    });
    never.model.dispose();
    await expect(never.model.run(never.feeds, target)).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});

test('passes that want other sessions than those open wait for nothing and lose nothing', async () => {
  const { source, feeds, options } = (await partsOf('llava', [24, 24])).decoder;
  using model = await SplitModel.load(source, options);
  const { plain, checkpointed } = await model.estimate(feeds);
  const budgets = [plain, checkpointed].map(({ peak, weights }) => peak + weights);
  const gradientWithin = async (memory: number, later: number) => {
    for (let turn = 0; turn < later; turn++) await Promise.resolve();
    using pass = await model.forward(feeds, { memory });
    return valuesOf((await pass.backward(cotangentOf(pass.output))).inputs_embeds);
  };
  const expected = await gradientWithin(budgets[0], 0);
  // Every order of asking for sessions and of closing them, a few microtasks apart.
  const all = Array.from({ length: 24 }, (_, i) => gradientWithin(budgets[i % 2], i % 5));
  for (const gradient of await Promise.all(all)) {
    expect(relativeError(gradient, expected)).toBeLessThan(TOLERANCE);
  }
});

test('a disposed model runs no more, and a pass under way ends well', async () => {
  const model = sketch({ nodes: [node('Sin', ['x'], ['y'])], inputs: [['x', DataType.float32, ['n', 8]]] });
  const split = await SplitModel.load(model, { output: 'y', wrt: ['x'] });
  const x = float(new Array(8).fill(1), [1, 8]);
  const running = split.forward({ x });
  split.dispose();
  using pass = await running;
  const { x: gradient } = await pass.backward(float(new Array(8).fill(1), [1, 8]));
  expect(valuesOf(gradient)[0]).toBeCloseTo(Math.cos(1), 6);
  await expect(split.forward({ x })).rejects.toMatchObject({ code: 'DISPOSED' });
});

test('the estimate counts what is kept', async () => {
  // y = exp(sin(x)): sin is kept for cos's partner, exp's own result for its gradient.
  const model = sketch({
    nodes: [node('Sin', ['x'], ['s']), node('Exp', ['s'], ['y'])],
    inputs: [['x', DataType.float32, ['n', 8]]],
  });
  using split = await SplitModel.load(model, { output: 'y', wrt: ['x'] });
  const { plain, segments, unknown } = await split.estimate({ x: float(new Array(80).fill(1), [10, 8]) });
  // x as it is fed, exp(sin x) and cos x: 320 bytes each.
  expect(plain.kept).toBe(3 * 320);
  expect([segments, unknown, plain.weights]).toEqual([1, [], 0]);
});

test("a fed tensor is the caller's: it outlives the pass", async () => {
  const model = sketch({ nodes: [node('Sin', ['x'], ['y'])], inputs: [['x', DataType.float32, ['n', 8]]] });
  using session = await openSession(model);
  const { y } = await session.run({ x: float(new Array(8).fill(1), [1, 8]) }, { keep: ['y'] });
  using split = await SplitModel.load(model, { output: 'y', wrt: ['x'], checkpoints: 'never' });
  const pass = await split.forward({ x: y as TensorValue });
  const gradients = await pass.backward(float(new Array(8).fill(1), [1, 8]));
  expect(valuesOf(gradients.x)[0]).toBeCloseTo(Math.cos(Math.sin(1)), 6);
  pass.dispose();
  expect((y as NativeTensor).toNdArray().data[0]).toBeCloseTo(Math.sin(1), 6);
  await expect(pass.backward(float(new Array(8).fill(1), [1, 8]))).rejects.toMatchObject({
    code: 'DISPOSED',
  });
});

test('misuse is refused before any work', async () => {
  const model = sketch({
    nodes: [node('Sin', ['x'], ['y'])],
    inputs: [['x', DataType.float32, ['n', 8]]],
  });
  const options = { output: 'y', wrt: ['x'] };
  await expect(
    SplitModel.load(model, { ...options, checkpoints: 'sometimes' as 'auto' }),
  ).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('one of auto, always, never'),
  });
  await expect(SplitModel.load(model, { ...options, memory: 0 })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
  using split = await SplitModel.load(model, options);
  await expect(split.forward({})).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('Missing model inputs: x'),
  });
});
