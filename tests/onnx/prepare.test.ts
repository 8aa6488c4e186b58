import { fileURLToPath } from 'node:url';
import ndarray from 'ndarray';
import { describe, expect, test } from 'vitest';
import type { TensorValue } from '../../lib/inference/session.js';
import { DifferentiableModel, OnnxModel, SplitModel } from '../../lib/onnx/index.js';
import { prepareModel } from '../../lib/onnx/prepare.js';
import { createMessage, type GraphProto, type NodeProto, type TensorProto } from '../../lib/onnx/protobuf.js';
import { DataType, float32Tensor, tensor } from '../../lib/onnx/tensors.js';
import {
  boolean,
  float,
  forward,
  node,
  randomStream,
  randomTensor,
  relativeError,
  sketch,
  valuesOf,
} from './helpers.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));

describe('branches', () => {
  const branch = (factor: number): GraphProto =>
    createMessage('GraphProto', {
      name: `times ${factor}`,
      initializer: [float32Tensor('factor', [factor])],
      node: [node('Mul', ['x', 'factor'], ['scaled']), node('Mul', ['scaled', 'x'], ['result'])],
      output: [createMessage('ValueInfoProto', { name: 'result' })],
    });

  function branching(condition: string, constant: boolean): OnnxModel {
    const choice = node('If', [condition], ['y']);
    choice.attribute = [
      createMessage('AttributeProto', { name: 'then_branch', type: 5, g: branch(2) }),
      createMessage('AttributeProto', { name: 'else_branch', type: 5, g: branch(5) }),
    ];
    const flag = tensor('constant', DataType.bool, [], Uint8Array.of(1));
    return sketch({
      nodes: [choice],
      inputs: [
        ['x', DataType.float32, ['n']],
        ...(constant ? [] : ([[condition, DataType.bool, [1]]] as const)),
      ],
      constants: constant ? [flag] : [],
    });
  }

  test.each([
    ['constant', true, 2],
    ['use_cache_branch', false, 5],
  ] as const)('the branch of %s is inlined and differentiated', async (condition, constant, factor) => {
    const model = await DifferentiableModel.load(branching(condition, constant), { output: 'y', wrt: ['x'] });
    const { output, gradients } = await model.run({ x: float([1, 2, -3], [3]) }, float([1, 1, 1], [3]));
    expect([...valuesOf(output)]).toEqual([1, 4, 9].map((v) => factor * v));
    expect([...valuesOf(gradients.x)]).toEqual([2, 4, -6].map((v) => factor * v));
    model.dispose();
  });

  test('a condition that only the run knows is refused by node', async () => {
    const probe = { x: float([1, 2], [2]), flag: boolean([true], [1]) };
    await expect(
      DifferentiableModel.load(branching('flag', false), { output: 'y', wrt: ['x'], probe }),
    ).rejects.toThrow(/Cannot differentiate If/);
  });
});

describe('half precision', () => {
  test('a half-precision export becomes float32: close to the float32 export, to the rounding of its weights', async () => {
    const [half, full] = [
      `${golden}vlm-variants/vision_encoder_fp16.onnx`,
      `${golden}vlm-llava/onnx/vision_encoder.onnx`,
    ];
    const next = randomStream(9);
    const pixels = { pixel_values: randomTensor([1, 3, 28, 28], next) };
    const features = (await forward(await OnnxModel.load(full), pixels, ['image_features'])).image_features;
    const cotangent = randomTensor((features as { shape: number[] }).shape, next);
    const run = async (path: string) => {
      const model = await SplitModel.load(path, { output: 'image_features', wrt: ['pixel_values'] });
      const pass = await model.forward(pixels);
      const { pixel_values } = await pass.backward(cotangent);
      const result = { output: valuesOf(pass.output), gradient: valuesOf(pixel_values) };
      pass.dispose();
      model.dispose();
      return result;
    };
    const [narrow, wide] = [await run(half), await run(full)];
    expect(relativeError(narrow.output, wide.output)).toBeLessThan(2e-2);
    expect(relativeError(narrow.gradient, wide.gradient)).toBeLessThan(2e-2);
    expect(relativeError(narrow.gradient, wide.gradient)).toBeGreaterThan(0);
  });

  test('weights keep their bytes and everything computed is float32', async () => {
    const model = sketch({
      nodes: [
        node('Cast', ['x'], ['h'], { to: DataType.float16 }),
        node('Mul', ['h', 'w'], ['p']),
        node('Cast', ['p'], ['y'], { to: DataType.float32 }),
      ],
      inputs: [['x', DataType.float32, ['n']]],
      constants: [tensor('w', DataType.float16, [1], Uint16Array.of(0x4200))],
    });
    const wide = await prepareModel(model);
    expect([...wide.graph.initializers.values()].map((item) => [item.name, item.dataType])).toEqual([
      ['w/half', DataType.float16],
    ]);
    // 0.1 has no half-precision value: rounding would show.
    const y = (await forward(wide, { x: ndarray(Float32Array.of(0.1), [1]) as TensorValue })).y;
    expect(valuesOf(y)[0]).toBe(Math.fround(3 * Math.fround(0.1)));
  });
});

/**
 * ONNX's Attention on [batch, heads, length, 4] whose numbers of heads no inference can tell: they are
 * computed.
 */
function computedHeads(outputs = ['y']): OnnxModel {
  const heads = (x: string, name: string): NodeProto[] => [
    node('Reshape', [x, `${name}/shape`], [`${name}/split`]),
    node('Transpose', [`${name}/split`], [name], { perm: [0, 2, 1, 3] }),
  ];
  const shape = (name: string, count: number): [NodeProto[], TensorProto[]] => [
    [node('Cast', [`${name}/float`], [`${name}/shape`], { to: DataType.int64 })],
    [float32Tensor(`${name}/float`, [0, 0, count, 4], [4])],
  ];
  const [q, k] = [shape('q', 4), shape('k', 2)];
  const inputs: [string, number, (string | number)[]][] = [
    ['x', DataType.float32, ['batch', 'length', 16]],
    ['z', DataType.float32, ['batch', 'length', 8]],
  ];
  return sketch({
    nodes: [
      ...q[0],
      ...k[0],
      ...heads('x', 'q'),
      ...heads('z', 'k'),
      node('Attention', ['q', 'k', 'k'], ['a', '', '', ...outputs.slice(1)], { is_causal: 1 }),
      node('Transpose', ['a'], ['y'], { perm: [0, 2, 1, 3] }),
    ],
    constants: [...q[1], ...k[1]],
    inputs,
    outputs,
    opset: 23,
  });
}

test('numbers of heads that only a run tells are found by one of made-up inputs', async () => {
  const model = computedHeads();
  const prepared = await prepareModel(model);
  expect(prepared.graph.nodes.map(({ opType }) => opType)).not.toContain('Attention');
  const next = randomStream(9);
  const feeds = { x: randomTensor([2, 5, 16], next), z: randomTensor([2, 5, 8], next) };
  const [whole, apart] = [await forward(model, feeds), await forward(prepared, feeds)];
  expect(relativeError(valuesOf(apart.y), valuesOf(whole.y))).toBeLessThan(2e-5);
});

test('a refused operator is named with its file', async () => {
  const model = computedHeads(['y', 'scores']);
  await expect(prepareModel(model)).rejects.toMatchObject({
    code: 'UNSUPPORTED_OPERATOR',
    message: expect.stringMatching(/^<memory>: .*Attention.*its scores are an output/),
  });
});
