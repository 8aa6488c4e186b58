import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ndarray from 'ndarray';
import { afterAll, describe, expect, test } from 'vitest';
import { attnLrp } from '../../lib/explainers/attn-lrp.js';
import { gradCam } from '../../lib/explainers/grad-cam.js';
import { gradRollout } from '../../lib/explainers/grad-rollout.js';
import { inputXGradient } from '../../lib/explainers/input-x-gradient.js';
import { integratedGradients } from '../../lib/explainers/integrated-gradients.js';
import { llavaCam } from '../../lib/explainers/llava-cam.js';
import { rollout } from '../../lib/explainers/rollout.js';
import { tam } from '../../lib/explainers/tam.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { releaseWhiteBoxSessions, WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import { Session } from '../../lib/inference/session.js';
import type { ModelFeed, PreparedSample, WhiteBox } from '../../lib/vlm/types.js';
import { readGolden, relativeError, valuesOf } from '../onnx/helpers.js';
import { contextOf } from './helpers.js';

const folder = fileURLToPath(new URL('../golden/onnx/llava/', import.meta.url));
const golden = readGolden(`${folder}explanations.json`);
const [FEATURES, GRID, SIDE, CHANNELS] = [9, 3, 24, 3];

function integers(name: string): Int32Array {
  const tensor = golden[name];
  if (!tensor || !('data' in tensor)) throw new Error(`${name} is missing`);
  return Int32Array.from(tensor.data as BigInt64Array<ArrayBuffer>, Number);
}

/** The golden sample as a model adapter would prepare it. */
function goldenSample(tag: string, models = folder): PreparedSample {
  const ids = integers('ids');
  const target = integers('target');
  const shape = [1, CHANNELS, SIDE, SIDE];
  const feed = (values: ArrayLike<number>, dims: number[]) =>
    ndarray(BigInt64Array.from(Array.from(values), BigInt), dims) as unknown as ModelFeed;
  const whiteBox: WhiteBox = {
    visionModel: `${models}vision_${tag}.onnx`,
    embedModel: `${models}embed_${tag}.onnx`,
    decoderModel: `${models}decoder_${tag}.onnx`,
    visionFeeds: { pixel_values: ndarray(valuesOf(golden.pixels), shape) },
    pixelInput: 'pixel_values',
    featureOutput: 'image_features',
    tokenIds: Int32Array.of(...ids, ...target),
    promptLength: ids.length,
    decisionPosition: ids.length,
    imagePositions: Int32Array.from({ length: FEATURES }, (_, i) => 3 + i),
    textPositions: integers('text_positions'),
    padTokenId: 0,
    featurePlayers: Int32Array.from({ length: FEATURES }, (_, i) => i),
    visionTokenPlayers: Int32Array.from({ length: FEATURES + 1 }, (_, i) => i - 1),
    pixelPlayers: Int32Array.from({ length: CHANNELS * SIDE * SIDE }, (_, i) => {
      const [y, x] = [Math.floor((i % (SIDE * SIDE)) / SIDE), i % SIDE];
      return Math.floor((y * GRID) / SIDE) * GRID + Math.floor((x * GRID) / SIDE);
    }),
    baselinePixels: ndarray(valuesOf(golden.baseline), shape),
    decoderFeeds(length) {
      const feeds: Record<string, ModelFeed> = {
        attention_mask: feed(new Array(length).fill(1), [1, length]),
        position_ids: feed([...Array(length).keys()], [1, length]),
      };
      for (const layer of [0, 1]) {
        for (const part of ['key', 'value']) {
          feeds[`past_key_values.${layer}.${part}`] = ndarray(new Float32Array(0), [1, 2, 0, 4]);
        }
      }
      return feeds;
    },
  };
  const text = whiteBox.textPositions.length;
  return {
    whiteBox,
    imagePlayers: { count: FEATURES, rows: GRID, columns: GRID, tiles: 1 },
    textPlayers: { count: text },
  } as unknown as PreparedSample;
}

afterAll(() => releaseWhiteBoxSessions());

/**
 * Float32 in ONNX Runtime and in PyTorch, whose sums are ordered differently: 1e-4 of the largest score. TAM
 * and the maps cut at 0, which does not enlarge an error.
 */
const TOLERANCE = 1e-4;

const joint = integratedGradients({ steps: 8, target: 'logit', path: 'joint' });
const methods: readonly Explainer[] = [
  inputXGradient({ target: 'logit', reference: 'zero' }),
  integratedGradients({ steps: 8, target: 'logit' }),
  { ...joint, name: 'integrated-gradients-joint' },
  gradCam(),
  llavaCam({ samples: 1, noise: 0 }),
  rollout,
  gradRollout,
  attnLrp({ target: 'logit', reference: 'zero', visionGamma: { linear: 0 } }),
  tam,
];

describe.each(['op14', 'op17', 'dynamo'])('against independent PyTorch computations, %s', (tag) => {
  test.each(methods.map((method) => [method.name, method] as const))('%s', async (name, method) => {
    const { image, text } = await method.attribute(contextOf(goldenSample(tag)));
    expect(relativeError(image, valuesOf(golden[`${name}/image`]))).toBeLessThan(TOLERANCE);
    expect(relativeError(text, valuesOf(golden[`${name}/text`]))).toBeLessThan(TOLERANCE);
  });

  test('Integrated Gradients tells what its paths lead over', async () => {
    const separate = methods[1] as Explainer;
    const { diagnostics } = await separate.attribute(contextOf(goldenSample(tag)));
    const both = await joint.attribute(contextOf(goldenSample(tag)));
    const differences = {
      'integrated-gradients/image-difference': diagnostics?.imageDifference,
      'integrated-gradients/text-difference': diagnostics?.textDifference,
      'integrated-gradients-joint/difference': both.diagnostics?.difference,
    };
    for (const [name, difference] of Object.entries(differences)) {
      expect(relativeError([difference as number], valuesOf(golden[name])), name).toBeLessThan(TOLERANCE);
    }
  });

  test('AttnLRP equals explicit float64 relevance to 1e-5, element by element', async () => {
    const chain = WhiteBoxChain.of(goldenSample(tag), 'test');
    const run = await chain.gradients({ mode: 'attnlrp' });
    const pixels = run.pixels.map((x, i) => x * run.pixelGradient[i]);
    const embeddings = run.embeddings.map((x, i) => x * run.embeddingGradient[i]);
    expect(relativeError(embeddings, valuesOf(golden['attn-lrp/embeddings']))).toBeLessThan(1e-5);
    expect(relativeError(pixels, valuesOf(golden['attn-lrp/pixels']))).toBeLessThan(1e-5);
    // The test discriminates: plain gradients give something else.
    const plain = await chain.gradients();
    const products = plain.embeddings.map((x, i) => x * plain.embeddingGradient[i]);
    expect(relativeError(products, valuesOf(golden['attn-lrp/embeddings']))).toBeGreaterThan(0.3);
  });
});

test('AttnLRP on the graphs that ONNX Runtime fused: explicit rules instead of patterns give the same', async () => {
  const scratch = `${mkdtempSync(join(tmpdir(), 'fsyn-fused-'))}/`;
  for (const part of ['vision', 'embed', 'decoder']) {
    const optimizedModelPath = `${scratch}${part}_op17.onnx`;
    const session = await Session.load(`${folder}${part}_op17.onnx`, {
      optimization: 'extended',
      optimizedModelPath,
    });
    session.dispose();
  }
  const run = await WhiteBoxChain.of(goldenSample('op17', scratch), 'test').gradients({ mode: 'attnlrp' });
  const pixels = run.pixels.map((x, i) => x * run.pixelGradient[i]);
  expect(relativeError(pixels, valuesOf(golden['attn-lrp/pixels']))).toBeLessThan(1e-5);
  const embeddings = run.embeddings.map((x, i) => x * run.embeddingGradient[i]);
  expect(relativeError(embeddings, valuesOf(golden['attn-lrp/embeddings']))).toBeLessThan(1e-5);
  rmSync(scratch, { recursive: true });
});
