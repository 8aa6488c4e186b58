import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import type { DeviceCaches } from '../../lib/inference/program.js';
import { Session } from '../../lib/inference/session.js';
import { makeNode } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { float32Tensor } from '../../lib/onnx/tensors.js';
import { joinGraph } from '../../lib/vlm/decoder/cache-join.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { built } from '../built.js';
import { cellsOf, distance, loadTiny, prepare } from './support.js';

// The way that caches take on providers with a memory of their own, on the host's memory: bound outputs
// without data here, copies made by a graph. What a GPU would do differently cannot be seen in these tests.

let vlm: Vlm;
let sample: DecoderSample;
beforeAll(async () => {
  vlm = await loadTiny();
  sample = await prepare(vlm);
});
afterAll(() => vlm.dispose());

const float32 = 1;
const onCpu = async (bytes: Uint8Array): Promise<DeviceCaches> => ({
  join: await Session.load(bytes),
  memory: 'Cpu',
});

test('caches that stay in a provider’s memory change no byte', async () => {
  const program = { ...sample.program(), deviceCaches: await onCpu(joinGraph(float32, 4)) };
  await fc.assert(
    fc.asyncProperty(cellsOf(sample, 30), async (cells) => {
      const host = await (await CoalitionEvaluator.create(sample.program())).evaluate(cells);
      const device = await (await CoalitionEvaluator.create(program)).evaluate(cells);
      expect([host.plan.onDevice, device.plan.onDevice, device.plan.fallbacks]).toEqual([false, true, []]);
      expect(device.logProbabilities).toEqual(host.logProbabilities);
      expect(device.execution!.cacheCopies).toBe(host.execution!.cacheCopies);
    }),
    { numRuns: 8, seed: 41 },
  );
});

test('a memory that loses values sends the caches through the host, and the plan says so', async () => {
  const model = OnnxModel.fromBytes(joinGraph(float32, 4));
  const { graph } = model;
  const concat = graph.producerOf('joined')!;
  concat.output = ['whole'];
  const half = graph.addInitializer(float32Tensor('half', [0.5]));
  graph.setNodes([...graph.nodes, makeNode('Mul', ['whole', half], ['joined'], { name: 'halve' })]);
  const program = { ...sample.program(), deviceCaches: await onCpu(model.serialize()) };
  const cells = fc.sample(cellsOf(sample), { seed: 42, numRuns: 1 })[0];
  const evaluator = await CoalitionEvaluator.create(program);
  const { plan, logProbabilities } = await evaluator.evaluate(cells);
  expect(plan.onDevice).toBe(false);
  expect(plan.fallbacks).toMatchObject([
    { code: 'caches-on-host', reason: expect.stringMatching(/differ by/) },
  ]);
  const host = await (await CoalitionEvaluator.create(sample.program())).evaluate(cells);
  expect(logProbabilities).toEqual(host.logProbabilities);
});

test('a memory whose graph fails sends them through the host, too', async () => {
  const program = { ...sample.program(), deviceCaches: await onCpu(joinGraph(float32, 3)) };
  const evaluator = await CoalitionEvaluator.create(program);
  const { fallbacks, onDevice } = await evaluator.plan(
    fc.sample(cellsOf(sample), { seed: 43, numRuns: 1 })[0],
  );
  expect(onDevice).toBe(false);
  expect(fallbacks).toMatchObject([
    {
      code: 'caches-on-host',
      reason: expect.stringMatching(/cannot stay in the provider's memory \(.*[Rr]ank/s),
    },
  ]);
});

const emulated = built('libcuda_emulated.so');

describe('pixels and logits in the memory of the CUDA plugin', () => {
  const before = process.env.FSYN_CUDA_PLUGIN;
  afterEach(() => {
    if (before === undefined) delete process.env.FSYN_CUDA_PLUGIN;
    else process.env.FSYN_CUDA_PLUGIN = before;
  });
  const withKernels = async () => ({
    ...sample.program(),
    deviceCaches: { ...(await onCpu(joinGraph(float32, 4))), kernels: true },
  });

  // The emulated plugin's memory is the host's, so that the runtime's CPU provider can read and write it.
  test.skipIf(emulated === null)('give what the host gives, one launch per batch', async () => {
    process.env.FSYN_CUDA_PLUGIN = emulated!;
    const program = await withKernels();
    await fc.assert(
      fc.asyncProperty(cellsOf(sample, 30), async (cells) => {
        const host = await (await CoalitionEvaluator.create(sample.program())).evaluate(cells);
        const device = await (await CoalitionEvaluator.create(program)).evaluate(cells);
        expect([device.plan.onDevice, device.plan.deviceKernels, device.plan.fallbacks]).toEqual([
          true,
          true,
          [],
        ]);
        const { visionRuns, suffixRuns, deviceMasks, deviceScores } = device.execution!;
        expect([deviceMasks, deviceScores]).toEqual([visionRuns, suffixRuns]);
        expect([host.execution!.deviceMasks, host.execution!.deviceScores]).toEqual([0, 0]);
        // Pixels are the same; the device sums a row's float32 exponentials in another order, three rows to a
        // cell.
        expect(distance(device.logProbabilities, host.logProbabilities)).toBeLessThan(1e-5);
      }),
      { numRuns: 8, seed: 44 },
    );
  });

  for (const [what, path, reason] of [
    [
      'a missing plugin',
      '/nowhere/libfsyn_cuda.so',
      /libfsyn_cuda\.so is missing.*the host masks and scores/,
    ],
    ['one without these kernels', built('libfake_cuda.so'), /the imitation has tables only.*the host masks/],
  ] as const) {
    test.skipIf(path === null)(`${what} leaves them to the host, and the plan says so`, async () => {
      process.env.FSYN_CUDA_PLUGIN = path!;
      const cells = fc.sample(cellsOf(sample), { seed: 45, numRuns: 1 })[0];
      const evaluator = await CoalitionEvaluator.create(await withKernels());
      const { plan, logProbabilities } = await evaluator.evaluate(cells);
      expect([plan.onDevice, plan.deviceKernels]).toEqual([true, false]);
      expect(plan.fallbacks).toMatchObject([
        { code: 'kernels-on-host', reason: expect.stringMatching(reason) },
      ]);
      const host = await (await CoalitionEvaluator.create(sample.program())).evaluate(cells);
      expect(logProbabilities).toEqual(host.logProbabilities);
    });
  }
});
