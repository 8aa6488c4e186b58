import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ndarray from 'ndarray';
import { afterAll, describe, expect, test } from 'vitest';
import { Session, type TensorValue } from '../../lib/inference/session.js';
import { DifferentiableModel, type GradientResult } from '../../lib/onnx/differentiable.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { operatorTypes } from '../../lib/onnx/queries.js';
import { float, forward, int64, readGolden, relativeError, valuesOf } from './helpers.js';

const folder = fileURLToPath(new URL('../golden/onnx/llava/', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'fsyn-fused-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const golden = readGolden(`${folder}golden.json`);
const [BATCH, LENGTH, LAYERS] = [3, 15, 2];

/** Golden tensors are all present: the script writes them together. */
function expected(name: string): TensorValue {
  return golden[name];
}

function decoderFeeds(embeds: TensorValue): Record<string, TensorValue> {
  const feeds: Record<string, TensorValue> = {
    inputs_embeds: embeds,
    attention_mask: expected('attention_mask'),
    position_ids: int64(
      Array.from({ length: BATCH * LENGTH }, (_, i) => i % LENGTH),
      [BATCH, LENGTH],
    ),
  };
  for (let i = 0; i < LAYERS; i++) {
    for (const part of ['key', 'value']) feeds[`past_key_values.${i}.${part}`] = float([], [BATCH, 2, 0, 4]);
  }
  return feeds;
}

function logitTarget(b: number): number {
  return Number((expected('targets') as { data: BigInt64Array<ArrayBuffer> } & TensorValue).data[b]);
}

/** Largest relative error over a list of tensors, each on its own scale. */
function worst(actual: readonly TensorValue[], names: readonly string[]): number {
  expect(actual.length).toBe(names.length);
  return Math.max(...actual.map((t, i) => relativeError(valuesOf(t), valuesOf(expected(names[i])))));
}

/** The issue asks for 1e-4; float32 summation orders leave about 1e-6. */
const TOLERANCE = 1e-4;

/** The export as ONNX Runtime rewrites it at level `extended`, with its fused operators. */
async function fuse(part: string): Promise<string> {
  const path = join(scratch, `${part}.onnx`);
  const session = await Session.load(`${folder}${part}_op17.onnx`, {
    optimization: 'extended',
    optimizedModelPath: path,
  });
  session.dispose();
  return path;
}

async function locate(part: string, tag: string): Promise<string> {
  return tag === 'fused' ? fuse(part) : `${folder}${part}_${tag}.onnx`;
}

test('the fused graphs are made of fused operators', async () => {
  const [decoder, vision] = [
    await operatorTypes(await fuse('decoder')),
    await operatorTypes(await fuse('vision')),
  ];
  expect([...decoder.keys()]).toContain('com.microsoft::FusedMatMul');
  expect(
    [...decoder.keys(), ...vision.keys()].filter((name) => /Normalization|Gelu/.test(name)).length,
  ).toBeGreaterThan(2);
});

describe.each(['op14', 'op17', 'dynamo', 'fused'])('LLaVA, %s', (tag) => {
  test('decoder: gradients of embeddings, attention and hidden states equal PyTorch', async () => {
    const model = await DifferentiableModel.load(await locate('decoder', tag), {
      attentions: true,
      hiddenStates: true,
    });
    expect(model.blocks.length).toBe(LAYERS);
    expect(model.statistics.dynamicReductions).toBe(0);
    expect(model.vocabulary).toBe(40);
    // The golden objective has a target per batch row; rows do not interact, so each is taken from a run of
    // its own.
    const feeds = decoderFeeds(expected('inputs_embeds'));
    const runs: GradientResult[] = [];
    for (let b = 0; b < BATCH; b++)
      runs.push(await model.run(feeds, { position: -1, token: logitTarget(b) }));
    const assemble = (pick: (run: GradientResult) => TensorValue): TensorValue => {
      const parts = runs.map(pick);
      const size = valuesOf(parts[0]).length / BATCH;
      const joined = new Float32Array(size * BATCH);
      for (const [b, part] of parts.entries())
        joined.set(valuesOf(part).subarray(b * size, (b + 1) * size), b * size);
      return ndarray(joined, [...parts[0].shape]) as TensorValue;
    };
    const layers = Array.from({ length: LAYERS }, (_, i) => i);
    expect(
      worst([assemble((r) => r.gradients.inputs_embeds as TensorValue)], ['grad/inputs_embeds']),
    ).toBeLessThan(TOLERANCE);
    expect(
      worst(
        layers.map((i) => assemble((r) => r.attentions[i])),
        layers.map((i) => `attention.${i}`),
      ),
    ).toBeLessThan(TOLERANCE);
    expect(
      worst(
        layers.map((i) => assemble((r) => r.attentionGradients[i])),
        layers.map((i) => `grad/attention.${i}`),
      ),
    ).toBeLessThan(TOLERANCE);
    expect(
      worst(
        layers.map((i) => assemble((r) => r.hiddenStates[i])),
        layers.map((i) => `hidden.${i}`),
      ),
    ).toBeLessThan(TOLERANCE);
    expect(
      worst(
        layers.map((i) => assemble((r) => r.hiddenStateGradients[i])),
        layers.map((i) => `grad/hidden.${i}`),
      ),
    ).toBeLessThan(TOLERANCE);
    const logits = valuesOf(expected('logits'));
    for (const [b, run] of runs.entries()) {
      const full = logits[(b * LENGTH + LENGTH - 1) * 40 + logitTarget(b)];
      expect(valuesOf(run.output)[b]).toBeCloseTo(full, 4);
    }
    model.dispose();
  });

  test('vision tower: the cotangent of the features gives the gradient of the pixels', async () => {
    const model = await DifferentiableModel.load(await locate('vision', tag), {
      output: 'image_features',
      attentions: true,
    });
    // Features come from the penultimate layer: the last one is not an ancestor of them.
    expect(model.blocks.length).toBe(2);
    const run = await model.run({ pixel_values: expected('pixel_values') }, expected('grad/image_features'));
    expect(worst([run.output], ['image_features'])).toBeLessThan(TOLERANCE);
    expect(worst([run.gradients.pixel_values as TensorValue], ['grad/pixel_values'])).toBeLessThan(TOLERANCE);
    const maps = [0, 1].map((i) => `vision_attention.${i}`);
    expect(worst(run.attentions, maps)).toBeLessThan(TOLERANCE);
    expect(
      worst(
        run.attentionGradients,
        maps.map((name) => `grad/${name}`),
      ),
    ).toBeLessThan(TOLERANCE);
    model.dispose();
  });

  test('token embedding equals PyTorch where there is no image', async () => {
    const model = await OnnxModel.load(await locate('embed', tag));
    const { inputs_embeds } = await forward(model, { input_ids: expected('input_ids') }, ['inputs_embeds']);
    const [ours, theirs] = [valuesOf(inputs_embeds), valuesOf(expected('inputs_embeds'))];
    expect(relativeError(ours.subarray(0, 32), theirs.subarray(0, 32))).toBeLessThan(1e-6);
  });
});
