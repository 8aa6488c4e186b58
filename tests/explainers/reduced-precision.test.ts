import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ndarray from 'ndarray';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { releaseWhiteBoxSessions, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import type { TensorValue } from '../../lib/inference/session.js';
import { operatorTypes } from '../../lib/onnx/queries.js';
import { SplitModel } from '../../lib/onnx/split.js';
import { type LoadVlmOptions, loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, WhiteBox } from '../../lib/vlm/types.js';
import { readGolden, relativeError, valuesOf } from '../onnx/helpers.js';
import { pattern } from '../vlm/pattern.js';
import { expectAllToScore } from './helpers.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));
const QUESTION = 'Is there a red circle in the image?';

/** The issue asks for 1e-4; float32 summation orders leave about 1e-6. */
const TOLERANCE = 1e-4;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fsyn-reduced-'));
  await cp(`${golden}vlm-llava`, directory, { recursive: true });
  const add = (from: string, part: string) => cp(`${golden}${from}`, join(directory, 'onnx', part));
  for (const part of ['vision_encoder', 'decoder_model_merged']) {
    await add(`onnx/reduced/${part}_q4.onnx`, `${part}_q4.onnx`);
  }
  for (const part of ['vision_encoder', 'embed_tokens', 'decoder_model_merged']) {
    await add(`vlm-variants/${part}_fp16.onnx`, `${part}_fp16.onnx`);
  }
});
afterAll(async () => {
  releaseWhiteBoxSessions();
  await rm(directory, { recursive: true });
});

/** The golden sample: the same pixels to the last bit, the first answer token as the target. */
function goldenChain(sample: PreparedSample, expected: ReturnType<typeof readGolden>) {
  const whiteBox = sample.whiteBox as WhiteBox;
  const integers = (name: string) =>
    Int32Array.from((expected[name] as { data: BigInt64Array<ArrayBuffer> }).data, Number);
  const ids = integers('input_ids');
  expect(whiteBox.tokenIds.subarray(0, whiteBox.promptLength)).toEqual(ids);
  const pixels = expected.pixels as { shape: number[] };
  const same: WhiteBox = {
    ...whiteBox,
    visionFeeds: { [whiteBox.pixelInput]: ndarray(valuesOf(expected.pixels), [...pixels.shape]) },
    tokenIds: Int32Array.of(...ids, ...integers('target')),
    decisionPosition: ids.length,
  };
  return WhiteBoxChain.of({ whiteBox: same } as unknown as PreparedSample, 'test');
}

const cases: readonly { name: string; dtype: LoadVlmOptions['dtype'] }[] = [
  { name: 'q4', dtype: { vision_encoder: 'q4', embed_tokens: 'fp32', decoder_model_merged: 'q4' } },
  { name: 'fp16', dtype: 'fp16' },
];

test('the 4-bit graphs hold nothing but quantised products, and fused attention', async () => {
  const decoder = await operatorTypes(join(directory, 'onnx', 'decoder_model_merged_q4.onnx'));
  expect(decoder.get('com.microsoft::MatMulNBits')).toBe(15);
  expect(decoder.get('com.microsoft::GroupQueryAttention')).toBe(2);
  expect(decoder.has('MatMul')).toBe(false);
  const vision = await operatorTypes(join(directory, 'onnx', 'vision_encoder_q4.onnx'));
  expect(vision.get('com.microsoft::MatMulNBits')).toBeGreaterThan(10);
});

describe.each(cases)('a whole $name model', { timeout: 300_000 }, ({ name, dtype }) => {
  test('gradients of pixels and embeddings equal PyTorch on the weights that the files hold', async () => {
    const vlm = await loadVlm(directory, { dtype });
    const sample = await vlm.prepare(pattern(40, 60), QUESTION, { maxNewTokens: 1 });
    const expected = readGolden(`${golden}onnx/reduced/${name}.json`);
    const run = await goldenChain(sample, expected).gradients();
    expect(Math.abs(run.explained - valuesOf(expected.logit)[0])).toBeLessThan(1e-4);
    expect(relativeError(run.embeddings, valuesOf(expected.embeds))).toBeLessThan(TOLERANCE);
    expect(relativeError(run.embeddingGradient, valuesOf(expected['grad/embeds']))).toBeLessThan(TOLERANCE);
    expect(relativeError(run.pixelGradient, valuesOf(expected['grad/pixels']))).toBeLessThan(TOLERANCE);
    // The weights are not those of the float32 model: the comparison would notice.
    const full = await loadVlm(directory, { dtype: 'fp32' });
    const original = await full.prepare(pattern(40, 60), QUESTION, { maxNewTokens: 1 });
    const other = await goldenChain(original, expected).gradients();
    expect(relativeError(other.pixelGradient, valuesOf(expected['grad/pixels']))).toBeGreaterThan(TOLERANCE);
    full.dispose();
    vlm.dispose();
  });

  test('checkpoints change no gradient, in a fraction of the memory', async () => {
    const vlm = await loadVlm(directory, { dtype });
    const sample = await vlm.prepare(pattern(40, 60), QUESTION, { maxNewTokens: 1 });
    const { decoderModel } = sample.whiteBox as WhiteBox;
    const chain = WhiteBoxChain.of(sample, 'test');
    const embeddings = await chain.embed(chain.whiteBox.tokenIds.subarray(0, chain.length));
    const feeds = chain.decoderFeeds(embeddings);
    const run = async (checkpoints: 'always' | 'never') => {
      using model = await SplitModel.load(decoderModel, { wrt: ['inputs_embeds'], checkpoints });
      const estimate = await model.estimate(feeds);
      using pass = await model.forward(feeds);
      const cotangent = ndarray(new Float32Array(valuesOf(pass.output).length).fill(1), [
        ...pass.output.shape,
      ]);
      const { inputs_embeds } = await pass.backward(cotangent as TensorValue);
      return { gradient: valuesOf(inputs_embeds), estimate };
    };
    const [plain, checkpointed] = [await run('never'), await run('always')];
    // Same operators, other fusions: a few units in the last place.
    expect(relativeError(checkpointed.gradient, plain.gradient)).toBeLessThan(2e-6);
    expect(plain.estimate.segments).toBe(3);
    expect(plain.estimate.checkpointed.kept).toBeLessThan(0.7 * plain.estimate.plain.kept);
    vlm.dispose();
  });

  test('every explainer of all scores every player', async () => {
    const vlm = await loadVlm(directory, { dtype });
    const sample = await vlm.prepare(pattern(40, 60), QUESTION, { maxNewTokens: 1 });
    await expectAllToScore(sample);
    vlm.dispose();
  });
});
