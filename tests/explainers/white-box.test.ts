import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { inputXGradient } from '../../lib/explainers/input-x-gradient.js';
import { releaseWhiteBoxSessions, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
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

describe('the chain of graphs', () => {
  test('its logits give the log-probability that the evaluator computes', async () => {
    const chain = WhiteBoxChain.of(sample, 'test');
    const { explained: logit } = await chain.gradients();
    const vocabulary = 530;
    const logits = await chain.tokenLogits(Int32Array.from({ length: vocabulary }, (_, i) => i));
    const last = logits.subarray((chain.length - 1) * vocabulary, chain.length * vocabulary);
    expect(last[chain.targetToken]).toBeCloseTo(logit, 4);
    const logSum = Math.log(last.reduce((sum, value) => sum + Math.exp(value), 0));
    const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
    const all = (count: number) => new Uint8Array(count).fill(1);
    cells.cell(cells.imageState(all(cells.imagePlayers)), cells.textState(all(cells.textPlayers)));
    const scores = await sample.evaluate(cells);
    expect(logit - logSum).toBeCloseTo(scores.logProbabilities[scores.decision], 4);
  });

  test('its pixel gradient equals a central difference along a direction', async () => {
    const chain = WhiteBoxChain.of(sample, 'test');
    const run = await chain.gradients();
    const text = await chain.embed(chain.whiteBox.tokenIds.subarray(0, chain.length));
    const direction = run.pixels.map((_, i) => Math.sin(i * 12.9898));
    const along = async (step: number) => {
      const pixels = run.pixels.map((x, i) => x + step * direction[i]);
      return (await chain.gradients({ pixels, tokenEmbeddings: text })).explained;
    };
    const numeric = ((await along(1e-3)) - (await along(-1e-3))) / 2e-3;
    const analytic = run.pixelGradient.reduce((sum, g, i) => sum + g * direction[i], 0);
    // Logits of about 5 carry 5e-7 of rounding: 5e-4 after the division; the cubic term is of the same order.
    expect(Math.abs(analytic - numeric)).toBeLessThan(5e-3 * Math.abs(numeric) + 1e-3);
  });
});

test('Input x Gradient sums to the products that it is made of', async () => {
  const { image, text } = await inputXGradient({ target: 'logit', reference: 'zero' }).attribute(
    contextOf(sample),
  );
  const gradients = await WhiteBoxChain.of(sample, 'test').gradients();
  expect(image.length).toBe(sample.imagePlayers.count);
  expect(text.length).toBe(sample.textPlayers.count);
  const products = gradients.pixels.reduce((sum, x, i) => sum + x * gradients.pixelGradient[i], 0);
  expect(total(image)).toBeCloseTo(products, 6);
});

test('the contrast target is the difference of two logits, and so are its gradients', async () => {
  const chain = WhiteBoxChain.of(sample, 'test');
  const contrast = await chain.gradients({ target: 'contrast' });
  const plain = await chain.gradients();
  const { rival } = contrast;
  const tokenIds = sample.whiteBox!.tokenIds.slice();
  tokenIds[chain.length] = rival as number;
  const other = WhiteBoxChain.of(
    { ...sample, whiteBox: { ...sample.whiteBox!, tokenIds } } as PreparedSample,
    'test',
  );
  const rivalRun = await other.gradients();
  expect(contrast.explained).toBeCloseTo(plain.explained - rivalRun.explained, 5);
  const difference = plain.pixelGradient.map((g, i) => g - rivalRun.pixelGradient[i]);
  expect(relativeError(contrast.pixelGradient, difference)).toBeLessThan(1e-5);
  // The rival is the largest of the others.
  const vocabulary = 530;
  const logits = await chain.tokenLogits(Int32Array.from({ length: vocabulary }, (_, i) => i));
  const last = logits
    .subarray((chain.length - 1) * vocabulary)
    .map((v, i) => (i === chain.targetToken ? -1e9 : v));
  expect(last.indexOf(Math.max(...last))).toBe(rival);
});

test('a decision token outside the vocabulary is refused', async () => {
  const tokenIds = sample.whiteBox!.tokenIds.slice();
  tokenIds[sample.whiteBox!.decisionPosition] = 530;
  const broken = { ...sample, whiteBox: { ...sample.whiteBox!, tokenIds } } as PreparedSample;
  await expect(WhiteBoxChain.of(broken, 'test').gradients()).rejects.toThrow(
    /decision token 530 is outside the 530 words/,
  );
});

test('a sample without model files is refused', async () => {
  const closed: PreparedSample = {
    image: sample.image,
    question: sample.question,
    prompt: sample.prompt,
    imagePlayers: sample.imagePlayers,
    textPlayers: sample.textPlayers,
    answer: sample.answer,
    evaluate: sample.evaluate,
  };
  await expect(inputXGradient({ target: 'logit' }).attribute(contextOf(closed))).rejects.toMatchObject({
    code: 'UNSUPPORTED_MODEL',
  });
});
