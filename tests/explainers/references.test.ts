import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attnLrp } from '../../lib/explainers/attn-lrp.js';
import { inputXGradient } from '../../lib/explainers/input-x-gradient.js';
import { releaseWhiteBoxSessions, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, Vlm, WhiteBox } from '../../lib/vlm/types.js';
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

describe('the absent reference', () => {
  test('Input x Gradient is the first-order change when a player moves towards its absence', async () => {
    const { image, text } = await inputXGradient().attribute(contextOf(sample));
    const chain = WhiteBoxChain.of(sample, 'test');
    const { whiteBox, length } = chain;
    const ids = whiteBox.tokenIds.subarray(0, length);
    const [tokens, pad] = [await chain.embed(ids), await chain.embed(Int32Array.of(whiteBox.padTokenId))];
    const { rival } = await chain.gradients({ target: 'contrast' });
    const pixels = chain.pixels();
    const absent = whiteBox.baselinePixels.data as Float32Array;
    // Central differences in float32: 1e-3 balances rounding (1e-7 / step) and curvature (step^2).
    const step = 1e-3;
    const slope = async (moved: (t: number) => { pixels?: Float32Array; tokenEmbeddings?: Float32Array }) => {
      const at = async (t: number) =>
        (await chain.gradients({ target: 'contrast', rival, ...moved(t) })).explained;
      return ((await at(-step)) - (await at(step))) / (2 * step);
    };
    const scale = Math.max(...[...image, ...text].map(Math.abs));
    for (const player of [0, 5, 15]) {
      const measured = await slope((t) => ({
        pixels: pixels.map((x, i) => (whiteBox.pixelPlayers[i] === player ? x - t * (x - absent[i]) : x)),
      }));
      expect(Math.abs(measured - image[player])).toBeLessThan(5e-3 * scale);
    }
    const hidden = pad.length;
    for (const [player, position] of whiteBox.textPositions.entries()) {
      const measured = await slope((t) => ({
        tokenEmbeddings: tokens.map((x, i) =>
          Math.floor(i / hidden) === position ? x - t * (x - pad[i % hidden]) : x,
        ),
      }));
      expect(Math.abs(measured - text[player])).toBeLessThan(5e-3 * scale);
    }
  });

  test.each([
    ['input-x-gradient', inputXGradient],
    ['attn-lrp', attnLrp],
  ] as const)('%s: what is absent already scores nothing', async (_, make) => {
    const whiteBox = sample.whiteBox as WhiteBox;
    const feeds = { ...whiteBox.visionFeeds, [whiteBox.pixelInput]: whiteBox.baselinePixels };
    const blurred = { ...sample, whiteBox: { ...whiteBox, visionFeeds: feeds } } as PreparedSample;
    const absent = await make({ reference: 'absent' }).attribute(contextOf(blurred));
    expect(absent.image.every((value) => value === 0)).toBe(true);
    const zero = await make({ reference: 'zero' }).attribute(contextOf(blurred));
    expect(total(zero.image.map(Math.abs))).toBeGreaterThan(1e-3);
  });

  test.each([inputXGradient, attnLrp])('is the default, and others are refused', async (make) => {
    const [given, left] = [
      await make({ reference: 'absent' }).attribute(contextOf(sample)),
      await make().attribute(contextOf(sample)),
    ];
    expect(left).toEqual(given);
    expect(() => make({ reference: 'blurred' as 'zero' })).toThrow(/one of zero, absent/);
  });
});

test('Gamma changes AttnLRP of the image, not of the words', async () => {
  const epsilon = await attnLrp({ visionGamma: { linear: 0 } }).attribute(contextOf(sample));
  const gamma = await attnLrp().attribute(contextOf(sample));
  expect(gamma.text).toEqual(epsilon.text);
  expect(relativeError(gamma.image, epsilon.image)).toBeGreaterThan(0.1);
});

test('TAM: an image token comes before the question, so no question changes its scores', async () => {
  const folder = fileURLToPath(new URL('../../bench/models/llava-tiny/model', import.meta.url));
  const model = await loadVlm(folder);
  const scores = async (question: string) => {
    const { whiteBox } = await model.prepare(pattern(64, 64), question, { answer: 'yes' });
    const chain = WhiteBoxChain.of({ whiteBox } as PreparedSample, 'test');
    const logits = await chain.tokenLogits(Int32Array.of(chain.targetToken));
    const last = logits.at(-1) as number;
    return { image: Array.from(chain.whiteBox.imagePositions, (p) => logits[p]), last };
  };
  const [one, other] = [await scores('Is there a red circle?'), await scores('Is there a green square?')];
  // The same operators on the same values: only the length of the sequence differs.
  expect(relativeError(one.image, other.image)).toBeLessThan(1e-5);
  expect(Math.abs(one.last - other.last)).toBeGreaterThan(1e-3);
  model.dispose();
});
