import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { integratedGradients } from '../../lib/explainers/integrated-gradients.js';
import { releaseWhiteBoxSessions, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { relativeError } from '../onnx/helpers.js';
import { pattern } from '../vlm/pattern.js';
import { contextOf } from './helpers.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
afterAll(() => releaseWhiteBoxSessions());

/**
 * The same operators on rows of larger matrices: a few units in the last place of float32, summed over steps.
 */
const TOLERANCE = 1e-5;

const cases: readonly { name: string; size: [number, number]; batched: boolean }[] = [
  { name: 'llava', size: [60, 40], batched: true },
  { name: 'internvl', size: [40, 44], batched: true },
  // The other inputs of these vision graphs describe one image: steps run one after the other.
  { name: 'qwen', size: [40, 60], batched: false },
];

describe.each(cases)('$name', { timeout: 300_000 }, ({ name, size, batched }) => {
  test.each(['separate', 'joint'] as const)(
    'several steps per run give what single runs give, %s',
    async (path) => {
      const vlm = await loadVlm(`${golden}vlm-${name}`);
      const sample = await vlm.prepare(pattern(...size), 'Is there a dog?', { maxNewTokens: 2 });
      const context = contextOf(sample);
      const alone = await integratedGradients({ steps: 6, batch: 1, path }).attribute(context);
      // Seven points: a batch of four and one of three.
      for (const batch of [4, undefined]) {
        const options = { steps: 6, path, ...(batch ? { batch } : {}) };
        const together = await integratedGradients(options).attribute(context);
        expect(relativeError(together.image, alone.image)).toBeLessThan(TOLERANCE);
        expect(relativeError(together.text, alone.text)).toBeLessThan(TOLERANCE);
        const key = path === 'joint' ? 'difference' : 'imageDifference';
        const [ours, theirs] = [together.diagnostics?.[key], alone.diagnostics?.[key]];
        expect(Math.abs((ours as number) - (theirs as number))).toBeLessThan(
          TOLERANCE * Math.abs(theirs as number),
        );
      }
      vlm.dispose();
    },
  );

  test(`${batched ? 'runs' : 'does not run'} batches`, async () => {
    const vlm = await loadVlm(`${golden}vlm-${name}`);
    const sample = await vlm.prepare(pattern(...size), 'Is there a dog?', { maxNewTokens: 2 });
    const chain = WhiteBoxChain.of(sample, 'test');
    const points = [1, 0.5].map((t) => ({ pixels: chain.pixels().map((x) => t * x) }));
    const [one, half] = await chain.gradientsAt(points, { batch: 2 });
    const shape = Object.values(one?.visionGradients ?? {})[0]?.shape;
    expect(shape?.[0]).toBe((batched ? 2 : 1) * chain.pixelShape[0]);
    // Each point got its own.
    const single = await chain.gradients({ pixels: points[1]?.pixels as Float32Array });
    expect(relativeError(half?.pixelGradient ?? [], single.pixelGradient)).toBeLessThan(TOLERANCE);
    expect(relativeError(one?.pixelGradient ?? [], single.pixelGradient)).toBeGreaterThan(1e-3);
    vlm.dispose();
  });
});

test('refuses a batch of no steps', () => {
  expect(() => integratedGradients({ batch: 0 })).toThrow(/batch/);
});
