import { fileURLToPath } from 'node:url';
import ndarray from 'ndarray';
import { afterAll, describe, expect, test } from 'vitest';
import { releaseWhiteBoxSessions, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, WhiteBox } from '../../lib/vlm/types.js';
import { readGolden, relativeError, valuesOf } from '../onnx/helpers.js';
import { pattern } from '../vlm/pattern.js';
import { expectAllToScore } from './helpers.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
afterAll(() => releaseWhiteBoxSessions());

const cases: readonly { name: string; title: string; size: [number, number] }[] = [
  { name: 'qwen', title: 'Qwen2.5-VL', size: [40, 60] },
  { name: 'internvl', title: 'InternVL-3.5', size: [40, 44] },
];

// Sessions of extended graphs take seconds to open on a busy machine.
describe.each(cases)('$title', { timeout: 300_000 }, ({ name, size }) => {
  test('the chain gives the gradients of PyTorch on the whole Hugging Face class', async () => {
    const vlm = await loadVlm(`${golden}vlm-${name}`);
    const sample = await vlm.prepare(pattern(...size), 'Is there a red circle in the image?', {
      maxNewTokens: 2,
    });
    const expected = readGolden(`${golden}onnx/${name}.json`);
    const whiteBox = sample.whiteBox as WhiteBox;
    const target = Number((expected.target as { data: BigInt64Array<ArrayBuffer> }).data[0]);
    const { promptLength, pixelInput } = whiteBox;
    const ids = Int32Array.from((expected.input_ids as { data: BigInt64Array<ArrayBuffer> }).data, Number);
    expect(whiteBox.tokenIds.subarray(0, promptLength)).toEqual(ids);
    expect(whiteBox.tokenIds[promptLength]).toBe(target);
    // The same pixels to the last bit, and the first answer token as the target.
    const pixels = expected.pixels as { shape: number[] };
    const feeds = {
      ...whiteBox.visionFeeds,
      [pixelInput]: ndarray(valuesOf(expected.pixels), [...pixels.shape]),
    };
    const same = { whiteBox: { ...whiteBox, visionFeeds: feeds, decisionPosition: promptLength } };
    const chain = WhiteBoxChain.of(same as unknown as PreparedSample, 'test');
    const run = await chain.gradients();
    expect(Math.abs(run.explained - valuesOf(expected.logit)[0])).toBeLessThan(1e-4);
    expect(relativeError(run.embeddings, valuesOf(expected.embeds))).toBeLessThan(1e-4);
    expect(relativeError(run.embeddingGradient, valuesOf(expected['grad/embeds']))).toBeLessThan(1e-4);
    expect(relativeError(run.pixelGradient, valuesOf(expected['grad/pixels']))).toBeLessThan(1e-4);
    vlm.dispose();
  });

  test('every explainer of all scores every player', async () => {
    const vlm = await loadVlm(`${golden}vlm-${name}`);
    const sample = await vlm.prepare(pattern(...size), 'Is there a dog?', { maxNewTokens: 2 });
    await expectAllToScore(sample);
    vlm.dispose();
  });
});
