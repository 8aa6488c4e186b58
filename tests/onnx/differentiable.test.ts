import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { DifferentiableModel, OnnxModel } from '../../lib/onnx/index.js';
import { float32Tensor } from '../../lib/onnx/tensors.js';
import { DataType, float, int64, node, randomStream, relativeError, sketch, valuesOf } from './helpers.js';

const folder = mkdtempSync(join(tmpdir(), 'fsyn-onnx-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const tiny = fileURLToPath(
  new URL('../../bench/models/llava-tiny/model/onnx/decoder_model_merged.onnx', import.meta.url),
);
const decoder = fileURLToPath(new URL('../golden/onnx/llava/decoder_op14.onnx', import.meta.url));

test('large weights are read from the original file by the extended graph', async () => {
  const size = 128;
  const next = randomStream(3);
  const weight = Array.from({ length: size * size }, () => Math.fround(next()));
  const model = sketch({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    inputs: [['x', DataType.float32, ['batch', size]]],
    constants: [float32Tensor('w', weight, [size, size])],
  });
  const path = join(folder, 'big.onnx');
  writeFileSync(path, model.serialize());
  expect((await OnnxModel.load(path)).serialize().length).toBeLessThan(1000);
  const differentiable = await DifferentiableModel.load(path, { output: 'y' });
  const seed = Array.from({ length: size }, next);
  const { gradients } = await differentiable.run(
    { x: float(new Array(size).fill(0), [1, size]) },
    float(seed, [1, size]),
  );
  const exact = Array.from({ length: size }, (_, i) =>
    seed.reduce((sum, s, j) => sum + Math.fround(s) * weight[i * size + j], 0),
  );
  // 128 float32 products: about sqrt(128) roundings of 6e-8.
  expect(relativeError(valuesOf(gradients.x), exact)).toBeLessThan(1e-5);
  differentiable.dispose();
});

test('an operator without a rule is refused by node and file, before a session is opened', async () => {
  const model = sketch({
    nodes: [node('Mul', ['x', 'x'], ['s']), node('Det', ['s'], ['y'])],
    inputs: [['x', DataType.float32, ['batch', 3, 3]]],
  });
  const path = join(folder, 'det.onnx');
  writeFileSync(path, model.serialize());
  await expect(DifferentiableModel.load(path, { output: 'y' })).rejects.toMatchObject({
    code: 'UNSUPPORTED_OPERATOR',
    message: expect.stringMatching(/det\.onnx: Cannot differentiate Det \(node "y"\)/),
  });
});

test('an unsupported operator off the path does not matter', async () => {
  const model = sketch({
    nodes: [node('Det', ['x'], ['unused']), node('Mul', ['x', 'x'], ['y'])],
    inputs: [['x', DataType.float32, ['batch', 3, 3]]],
    outputs: ['y', 'unused'],
  });
  const differentiable = await DifferentiableModel.load(model, { output: 'y' });
  const x = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const { gradients } = await differentiable.run(
    { x: float(x, [1, 3, 3]) },
    float(Array(9).fill(1), [1, 3, 3]),
  );
  expect([...valuesOf(gradients.x)]).toEqual(x.map((v) => 2 * v));
  differentiable.dispose();
});

test('an old operator set is refused', async () => {
  const model = sketch({
    nodes: [node('Mul', ['x', 'x'], ['y'])],
    inputs: [['x', DataType.float32, ['batch', 3]]],
    opset: 11,
  });
  await expect(DifferentiableModel.load(model, { output: 'y' })).rejects.toMatchObject({
    code: 'UNSUPPORTED_MODEL',
    message: expect.stringContaining('operator set 11'),
  });
});

test('an unknown tensor name comes with suggestions', async () => {
  await expect(DifferentiableModel.load(decoder, { wrt: ['input_embeds'] })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('Did you mean "inputs_embeds"'),
  });
});

test('a target token out of range is refused before the run', async () => {
  const model = await DifferentiableModel.load(decoder);
  await expect(model.run({}, { position: -1, token: 40 })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('an integer from 0 to 39 for target.token but received 40'),
  });
  model.dispose();
});

test('a position outside the sequence is refused before the run', async () => {
  const model = await DifferentiableModel.load(decoder);
  const feeds = { inputs_embeds: float(new Array(6).fill(0), [1, 3, 2]) };
  for (const position of [3, -4, 0.5]) {
    await expect(model.run(feeds, { position, token: 1 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: `Expected an integer from -3 to 2 for target.position but received ${position}.`,
    });
  }
  model.dispose();
});

test('bytes that are no model are refused with the file', async () => {
  for (const [name, bytes] of [
    ['garbage.onnx', 'hello'],
    ['empty.onnx', ''],
  ] as const) {
    writeFileSync(join(folder, name), bytes);
    await expect(DifferentiableModel.load(join(folder, name))).rejects.toMatchObject({
      code: 'MODEL_FILE',
      message: expect.stringContaining(join(folder, name)),
    });
  }
});

test('a number of threads that is none is refused before any work', async () => {
  await expect(DifferentiableModel.load(decoder, { threads: 0 })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('threads'),
  });
});

test('gradients and attentions of an export for generation take three lines, its caches not fed', async () => {
  const [path, length, width] = [tiny, 7, 128];
  const embeddings = Array.from({ length: length * width }, (_, i) => Math.sin(i));
  const feeds = {
    inputs_embeds: float(embeddings, [1, length, width]),
    attention_mask: int64(new Array(length).fill(1), [1, length]),
    position_ids: int64([...new Array(length).keys()], [1, length]),
  };
  using model = await DifferentiableModel.load(path, { attentions: true });
  const { gradients, attentions } = await model.run(feeds, { position: -1, token: 38 });
  expect(gradients.inputs_embeds?.shape).toEqual([1, length, width]);
  expect(attentions.map(({ shape }) => shape)).toEqual(new Array(4).fill([1, 4, length, length]));
  // What is fed counts: empty caches give the same, others are not replaced.
  const names = model.inputNames.filter((name) => name.startsWith('past_key_values'));
  expect(names.length).toBe(8);
  const empty = Object.fromEntries(names.map((name) => [name, float([], [1, 4, 0, 32])]));
  const again = await model.run({ ...feeds, ...empty }, { position: -1, token: 38 });
  expect(again.gradients).toEqual(gradients);
});

test('a misspelt option is refused', async () => {
  await expect(DifferentiableModel.load(decoder, { wtr: ['inputs_embeds'] } as never)).rejects.toThrow(
    /Unknown option "wtr"/,
  );
});
