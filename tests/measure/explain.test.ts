import { describe, expect, it } from 'vitest';
import type { Attribution } from '../../lib/cells/attribution.js';
import { embeddedDataset } from '../../lib/datasets/embedded/dataset.js';
import { explainers, findExplainers } from '../../lib/explainers/registry.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { explain } from '../../lib/measure/evaluate.js';
import { controlNames } from '../../lib/report/pool.js';
import { loadModels } from '../../lib/runner/models.js';
import type { PreparedSample } from '../../lib/vlm/types.js';
import { fakeModel } from '../runner/fake-model.js';

async function prepared(): Promise<{ sample: PreparedSample; dispose: () => void }> {
  const [model] = await loadModels(['llava-tiny'], { threads: 1 });
  const { value: question } = await embeddedDataset({ size: 1 }).samples().next();
  const sample = await model.prepare(await question.image(), question.question, { answer: 'yes' });
  return { sample, dispose: () => model.dispose() };
}

describe('explain()', () => {
  const giving = (attribution: unknown): Explainer => ({
    ...findExplainers(['random'])[0],
    name: 'mine',
    attribute: async () => attribution as Attribution,
  });
  const sample = async () => {
    const { data, shape } = { data: new Uint8Array(8 * 8 * 3), shape: [8, 8, 3] };
    return fakeModel().prepare({ data, shape } as never, 'a bb cc d');
  };
  const image = new Float64Array(16);
  const text = new Float64Array(4);

  it.each([
    [
      'an image score too few',
      { image: image.subarray(1), text },
      /16 image scores, .* from mine but received 15/,
    ],
    ['a word too many', { image, text: new Float64Array(5) }, /4 text scores, .* from mine but received 5/],
    [
      'not a number',
      { image: image.with(3, Number.NaN), text },
      /finite image scores from mine but received NaN for player 3/,
    ],
    [
      'infinity',
      { image, text: text.with(0, Infinity) },
      /finite text scores from mine but received Infinity/,
    ],
    [
      'a text as scores',
      { image: 'sixteen letters!', text },
      /16 image scores, .* from mine but received "sixteen/,
    ],
    ['no scores of one modality', { image }, /4 text scores, .* from mine but received undefined/],
    ['nothing', undefined, /mine is to give \{ image, text \} but gave undefined/],
    ['null', null, /mine is to give \{ image, text \} but gave null/],
  ])('refuses %s', async (_, attribution, message) => {
    const done = explain(await sample(), giving(attribution));
    await expect(done).rejects.toMatchObject({
      code: 'ATTRIBUTION',
      message: expect.stringMatching(message),
    });
  });

  it('hands on one finite score per player, whatever holds them', async () => {
    const given = { image: Array.from(image), text: new Float32Array(4) } as unknown as Attribution;
    expect(await explain(await sample(), giving(given))).toBe(given);
  });
});

it('after dispose() every explainer that asks the model refuses, those that look inside as well', async () => {
  const { sample, dispose } = await prepared();
  // Sessions that are open already must not go on.
  await explain(sample, 'rollout');
  dispose();
  // Controls never ask the model.
  for (const explainer of explainers.filter(({ name }) => !controlNames.includes(name)))
    await expect(explain(sample, explainer), explainer.name).rejects.toMatchObject({ code: 'DISPOSED' });
});
