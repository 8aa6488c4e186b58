import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attnLrp } from '../../lib/explainers/attn-lrp.js';
import { gradCam } from '../../lib/explainers/grad-cam.js';
import { inputXGradient } from '../../lib/explainers/input-x-gradient.js';
import { integratedGradients } from '../../lib/explainers/integrated-gradients.js';
import { llavaCam } from '../../lib/explainers/llava-cam.js';
import { asPublished, explainers, findExplainers } from '../../lib/explainers/registry.js';
import { rollout } from '../../lib/explainers/rollout.js';
import { withoutInterference } from '../../lib/explainers/tam.js';
import { releaseWhiteBoxSessions, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import { rankGaussianFilter } from '../../lib/explainers/white-box/rank-filter.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';
import { relativeError } from '../onnx/helpers.js';
import { pattern } from '../vlm/pattern.js';
import { contextOf, tinyLlava, total } from './helpers.js';

let vlm: Vlm;
let sample: PreparedSample;

beforeAll(async () => {
  vlm = await loadVlm(tinyLlava);
  sample = await vlm.prepare(pattern(60, 40), 'Is there a dog?', { maxNewTokens: 3 });
});

afterAll(() => {
  releaseWhiteBoxSessions();
  vlm.dispose();
});

describe.each(explainers.filter((explainer) => !explainer.needsTruth).map((e) => [e.name, e] as const))(
  '%s',
  (_, explainer) => {
    test('gives one finite score per player, the same every time', async () => {
      const first = await explainer.attribute(contextOf(sample));
      expect(first.image.length).toBe(sample.imagePlayers.count);
      expect(first.text.length).toBe(sample.textPlayers.count);
      expect([...first.image, ...first.text].every(Number.isFinite)).toBe(true);
      // The positive part in activation maps may leave nothing of one modality.
      expect(new Set([...first.image, ...first.text]).size).toBeGreaterThan(3);
      expect(await explainer.attribute(contextOf(sample))).toEqual(first);
    });

    test('stops when asked to', async () => {
      const controller = new AbortController();
      controller.abort(new Error('enough'));
      if (explainer.name === 'random') return;
      await expect(
        explainer.attribute({ ...contextOf(sample), signal: controller.signal }),
      ).rejects.toThrow();
    });
  },
);

test.each(['separate', 'joint'] as const)(
  'Integrated Gradients becomes complete with more steps, %s',
  async (path) => {
    const options = { path, target: 'logit' } as const;
    const few = await integratedGradients({ steps: 2, ...options }).attribute(contextOf(sample));
    const many = await integratedGradients({ steps: 64, ...options }).attribute(contextOf(sample));
    const { completenessError, difference, imageDifference, textDifference } = many.diagnostics as Record<
      string,
      number
    >;
    const scale = Math.abs(difference ?? 0) + Math.abs(imageDifference ?? 0) + Math.abs(textDifference ?? 0);
    // Large random weights bend the path sharply: the midpoint rule is 0.4 % off here with 64 steps.
    expect(completenessError as number).toBeLessThan(1e-2 * scale);
    expect(completenessError as number).toBeLessThan(
      (few.diagnostics as Record<string, number>).completenessError as number,
    );
    // Every varying pixel and embedding belongs to a player here.
    const sums = [total(many.image), total(many.text)] as const;
    if (path === 'joint') expect(sums[0] + sums[1]).toBeCloseTo(difference as number, 1);
    else {
      expect(sums[0]).toBeCloseTo(imageDifference as number, 1);
      expect(sums[1]).toBeCloseTo(textDifference as number, 1);
    }
  },
);

test('a separate path takes the decoder alone past the words', async () => {
  const chain = WhiteBoxChain.of(sample, 'test');
  const whole = await chain.gradients();
  const { pixels, features, embeddingGradient, explained } = await chain.gradients({
    features: whole.features,
  });
  expect([pixels.length, features]).toEqual([0, whole.features]);
  expect(relativeError([explained], [whole.explained])).toBeLessThan(1e-6);
  expect(relativeError(embeddingGradient, whole.embeddingGradient)).toBeLessThan(1e-5);
  // Features that are changed change the outcome: they are read, not the pixels.
  const other = await chain.gradients({ features: whole.features.map((x) => -x) });
  expect(relativeError(other.embeddingGradient, whole.embeddingGradient)).toBeGreaterThan(1e-3);
});

test('the published parameters replace ours where they differ', async () => {
  const published = asPublished(explainers);
  expect(published.map(({ name }) => name)).toEqual(explainers.map(({ name }) => name));
  const changed = published.filter((explainer, i) => explainer !== explainers[i]).map(({ name }) => name);
  expect(changed).toEqual(['input-x-gradient', 'integrated-gradients', 'attn-lrp']);
  const options = { target: 'log-probability', reference: 'zero' } as const;
  const wanted = await inputXGradient(options).attribute(contextOf(sample));
  const own = inputXGradient();
  const [given, kept] = asPublished([...findExplainers(['input-x-gradient']), own]);
  expect(kept).toBe(own);
  expect(await given?.attribute(contextOf(sample))).toEqual(wanted);
});

test('AttnLRP is not gradient times input', async () => {
  const relevance = await attnLrp({ target: 'logit' }).attribute(contextOf(sample));
  const product = await inputXGradient({ target: 'logit' }).attribute(contextOf(sample));
  const scale = Math.max(...product.image.map(Math.abs));
  expect(Math.max(...relevance.image.map((r, i) => Math.abs(r - product.image[i]))) / scale).toBeGreaterThan(
    0.05,
  );
});

test('Rollout distributes one unit: what the text and the image get, and the rest, sums to 1', async () => {
  const { image, text } = await rollout.attribute(contextOf(sample));
  expect(Math.min(...image, ...text)).toBeGreaterThanOrEqual(0);
  expect(total(image) + total(text)).toBeLessThan(1);
});

test('LLaVA-CAM without noise does not depend on the number of copies, with noise it depends on the seed', async () => {
  const quiet = llavaCam({ samples: 3, noise: 0 });
  const single = await llavaCam({ samples: 1, noise: 0 }).attribute(contextOf(sample));
  const repeated = await quiet.attribute(contextOf(sample));
  for (const [i, value] of single.image.entries()) expect(repeated.image[i]).toBeCloseTo(value, 10);
  const noisy = llavaCam({ samples: 2 });
  expect((await noisy.attribute(contextOf(sample, 1))).image).not.toEqual(
    (await noisy.attribute(contextOf(sample, 2))).image,
  );
});

test('an unknown or missing layer is refused with what there is', async () => {
  await expect(gradCam({ visionLayer: 99 }).attribute(contextOf(sample))).rejects.toThrow(
    /an integer from -\d+ to \d+ for visionLayer/,
  );
  await expect(gradCam({ decoderLayer: 'layers.7' }).attribute(contextOf(sample))).rejects.toThrow(
    /Unknown layer "layers.7" for decoderLayer/,
  );
});

test('options are checked', () => {
  expect(() => integratedGradients({ steps: 0 })).toThrow(/steps/);
  expect(() => integratedGradients({ path: 'curved' as never })).toThrow(/one of separate, joint/);
  expect(() => llavaCam({ samples: 1.5 })).toThrow(/samples/);
  expect(() => attnLrp({ target: 'loss' as never })).toThrow(/one of contrast, logit/);
  expect(() => gradCam({ layer: 1 } as never)).toThrow(/Unknown option "layer"/);
});

describe('the parts of TAM', () => {
  test('interference proportional to the map removes it, orthogonal interference leaves it', () => {
    const map = Float64Array.of(1, 2, 0, 3);
    expect(
      [
        ...withoutInterference(
          map,
          map.map((v) => 5 * v),
        ),
      ].every((v) => Math.abs(v) < 1e-12),
    ).toBe(true);
    expect([...withoutInterference(map, Float64Array.of(0, 0, 4, 0))]).toEqual([1, 2, 0, 3]);
  });

  test('the rank filter keeps a constant map and removes a single outlier towards the median', () => {
    expect([...rankGaussianFilter(new Float64Array(9).fill(2), 3, 3)]).toEqual(Array(9).fill(2));
    const spike = new Float64Array(25).fill(1);
    spike[12] = 1.5;
    expect(rankGaussianFilter(spike, 5, 5)[12]).toBeCloseTo(1, 6);
  });
});
