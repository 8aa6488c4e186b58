import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { inferenceFacts } from '../../lib/inference/runtime.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { pattern } from '../vlm/pattern.js';
import { cellsOf, distance } from './support.js';

// Any Vulkan, Metal or Direct3D driver will do, a software one too: there the first run of each graph
// compiles its shaders for half a minute.
const webgpu = inferenceFacts().providers.find(({ name }) => name === 'webgpu');
const llava = fileURLToPath(new URL('../../bench/models/llava-tiny/model', import.meta.url));
const missing = webgpu?.available ? undefined : `not run: ${webgpu?.problem ?? 'no WebGPU in this runtime'}`;

describe('WebGPU', { timeout: 600_000 }, () => {
  let models: Vlm[] = [];
  beforeAll(async () => {
    if (missing !== undefined) return;
    const load = (provider: string) => loadVlm(llava, { providers: [provider], threads: 2 });
    models = [await load('cpu'), await load('webgpu')];
  }, 600_000);
  afterAll(() => {
    for (const model of models) model.dispose();
  });

  test('scores as the processor does, with caches on the device and evaluations side by side', async ({
    skip,
  }) => {
    if (missing !== undefined) skip(missing);
    const samples: DecoderSample[] = [];
    for (const model of models) {
      samples.push((await model.prepare(pattern(40, 56), 'Is there a red circle?')) as DecoderSample);
    }
    const [host, device] = samples.map((sample) => sample.program());
    const [first, second] = fc.sample(cellsOf(samples[0], 8), { seed: 43, numRuns: 2 });
    const expected = await (await CoalitionEvaluator.create(host!)).evaluate(first!);
    const evaluators = [await CoalitionEvaluator.create(device!), await CoalitionEvaluator.create(device!)];
    // Several workers and two evaluations ask for the one device at once.
    const [actual] = await Promise.all([
      evaluators[0].evaluate(first!),
      evaluators[1].evaluate(second!),
      samples[1].evaluate(second!),
    ]);
    expect([actual!.plan.onDevice, actual!.plan.fallbacks]).toEqual([true, []]);
    // WGSL allows sines and exponentials of some 2^-11; on SwiftShader the largest difference was 9e-4.
    expect(distance(actual!.logProbabilities, expected.logProbabilities)).toBeLessThan(5e-3);
  });
});
