import ndarray from 'ndarray';
import { describe, expect, test } from 'vitest';
import type { TensorValue } from '../../lib/inference/session.js';
import { DifferentiableModel } from '../../lib/onnx/differentiable.js';
import type { OnnxModel } from '../../lib/onnx/model.js';
import { tensor } from '../../lib/onnx/tensors.js';
import { DataType, node, randomStream, randomTensor, relativeError, sketch, valuesOf } from './helpers.js';

const next = randomStream(11);
/** Float32 sums of some ten products against float64. */
const TOLERANCE = 1e-5;

/** One contribution of input element `from` to output element `to`. */
interface Contribution {
  readonly from: number;
  readonly to: number;
  readonly value: number;
}

/**
 * The rule as it is defined, contribution by contribution in float64: those with the sign of their sum count
 * 1 + gamma times, and an output's relevance is shared in proportion.
 */
function explicitRelevance(
  contributions: readonly Contribution[],
  inputs: number,
  cotangent: Float32Array,
  gamma: number,
): Float64Array {
  const relevance = new Float64Array(inputs);
  for (const [to, g] of cotangent.entries()) {
    const own = contributions.filter((item) => item.to === to);
    const z = own.reduce((sum, { value }) => sum + value, 0);
    const weighted = own.map(({ value }) => (value * z > 0 ? value * (1 + gamma) : value));
    const total = weighted.reduce((sum, value) => sum + value, 0);
    for (const [i, { from }] of own.entries()) {
      relevance[from] = relevance[from] + (weighted[i] / total) * z * g;
    }
  }
  return relevance;
}

async function relevanceOf(
  model: OnnxModel,
  x: TensorValue,
  cotangent: TensorValue,
  gamma: { conv?: number; linear?: number },
): Promise<Float32Array> {
  using extended = await DifferentiableModel.load(model, { output: 'y', wrt: ['x'], mode: 'attnlrp', gamma });
  const { gradients } = await extended.run({ x }, cotangent);
  return valuesOf(gradients.x).map((value, i) => value * valuesOf(x)[i]);
}

const [ROWS, WIDTH, OUT] = [3, 7, 5];
const matrix = Float32Array.from({ length: WIDTH * OUT }, next);
const bias = tensor('b', DataType.float32, [OUT], Float32Array.from({ length: OUT }, next));

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}

const products: readonly { name: string; model: OnnxModel; scale: number }[] = [
  {
    name: 'MatMul and a bias',
    scale: 1,
    model: sketch({
      nodes: [node('MatMul', ['x', 'w'], ['z']), node('Add', ['z', 'b'], ['y'])],
      inputs: [['x', DataType.float32, ['n', WIDTH]]],
      constants: [tensor('w', DataType.float32, [WIDTH, OUT], matrix), bias],
    }),
  },
  {
    name: 'Gemm, transposed and scaled, with a bias',
    scale: 0.5,
    model: sketch({
      nodes: [node('Gemm', ['x', 'w', 'b'], ['y'], { transB: 1, alpha: { float: 0.5 } })],
      inputs: [['x', DataType.float32, ['n', WIDTH]]],
      constants: [tensor('w', DataType.float32, [OUT, WIDTH], transposed(matrix, WIDTH, OUT)), bias],
    }),
  },
  {
    name: 'Gemm with a negative scale',
    scale: -0.5,
    model: sketch({
      nodes: [node('Gemm', ['x', 'w'], ['y'], { alpha: { float: -0.5 } })],
      inputs: [['x', DataType.float32, ['n', WIDTH]]],
      constants: [tensor('w', DataType.float32, [WIDTH, OUT], matrix)],
    }),
  },
];

describe.each(products)('$name', ({ model, scale }) => {
  const x = randomTensor([ROWS, WIDTH], next);
  const cotangent = randomTensor([ROWS, OUT], next);
  const contributions: Contribution[] = [];
  for (let row = 0; row < ROWS; row++) {
    for (let i = 0; i < WIDTH; i++) {
      for (let j = 0; j < OUT; j++) {
        const value = scale * valuesOf(x)[row * WIDTH + i] * matrix[i * OUT + j];
        contributions.push({ from: row * WIDTH + i, to: row * OUT + j, value });
      }
    }
  }

  test.each([0, 0.25, 1, 10])('equals explicit relevance at gamma %d', async (linear) => {
    const expected = explicitRelevance(contributions, ROWS * WIDTH, valuesOf(cotangent), linear);
    const ours = await relevanceOf(model, x, cotangent, { linear });
    expect(relativeError(ours, expected)).toBeLessThan(TOLERANCE);
    const other = explicitRelevance(contributions, ROWS * WIDTH, valuesOf(cotangent), linear + 0.25);
    expect(relativeError(ours, other)).toBeGreaterThan(10 * TOLERANCE);
  });

  test('leaves relevance whole, whatever gamma', async () => {
    const sum = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);
    const plain = sum(await relevanceOf(model, x, cotangent, { linear: 0 }));
    expect(sum(await relevanceOf(model, x, cotangent, { linear: 3 }))).toBeCloseTo(plain, 4);
  });
});

test('Conv with strides and padding equals explicit relevance', async () => {
  const [channels, side, out, kernel, stride, pad] = [2, 5, 3, 3, 2, 1];
  const reach = Math.floor((side + 2 * pad - kernel) / stride) + 1;
  const weight = Float32Array.from({ length: out * channels * kernel * kernel }, next);
  const x = randomTensor([1, channels, side, side], next);
  const cotangent = randomTensor([1, out, reach, reach], next);
  const contributions: Contribution[] = [];
  for (let o = 0; o < out; o++) {
    for (let c = 0; c < channels; c++) {
      for (let k = 0; k < kernel * kernel; k++) {
        for (let at = 0; at < reach * reach; at++) {
          const row = Math.floor(at / reach) * stride - pad + Math.floor(k / kernel);
          const column = (at % reach) * stride - pad + (k % kernel);
          if (row < 0 || column < 0 || row >= side || column >= side) continue;
          const from = (c * side + row) * side + column;
          const w = weight[(o * channels + c) * kernel * kernel + k];
          contributions.push({ from, to: o * reach * reach + at, value: w * valuesOf(x)[from] });
        }
      }
    }
  }
  const attributes = {
    kernel_shape: [kernel, kernel],
    strides: [stride, stride],
    pads: [pad, pad, pad, pad],
  };
  const model = sketch({
    nodes: [node('Conv', ['x', 'w'], ['y'], attributes)],
    inputs: [['x', DataType.float32, ['n', channels, side, side]]],
    constants: [tensor('w', DataType.float32, [out, channels, kernel, kernel], weight)],
  });
  for (const conv of [0, 0.5, 100]) {
    const expected = explicitRelevance(contributions, channels * side * side, valuesOf(cotangent), conv);
    expect(relativeError(await relevanceOf(model, x, cotangent, { conv }), expected)).toBeLessThan(TOLERANCE);
    // Gamma of matrix products is another one.
    expect(relativeError(await relevanceOf(model, x, cotangent, { conv, linear: 9 }), expected)).toBeLessThan(
      TOLERANCE,
    );
  }
});

test('a sum of exactly zero has no relevance to give', async () => {
  const model = sketch({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    inputs: [['x', DataType.float32, [2, 2]]],
    constants: [tensor('w', DataType.float32, [2, 1], Float32Array.of(1, -1))],
  });
  const x = ndarray(Float32Array.of(2, 2, 3, 1), [2, 2]) as TensorValue;
  const ours = await relevanceOf(model, x, ndarray(Float32Array.of(1, 1), [2, 1]) as TensorValue, {
    linear: 1,
  });
  // Row 0 cancels. Row 1: contributions 3 and -1 of z = 2; 3 counts twice: 6 / 5 and -1 / 5 of 2.
  expect(Array.from(ours)).toEqual([0, 0, expect.closeTo(2.4, 6), expect.closeTo(-0.4, 6)]);
});

test('products of two live factors follow the uniform rule, not Gamma', async () => {
  const model = sketch({
    nodes: [node('Transpose', ['x'], ['t'], { perm: [1, 0] }), node('MatMul', ['x', 't'], ['y'])],
    inputs: [['x', DataType.float32, [2, 3]]],
  });
  const [x, cotangent] = [randomTensor([2, 3], next), randomTensor([2, 2], next)];
  const plain = await relevanceOf(model, x, cotangent, {});
  expect(await relevanceOf(model, x, cotangent, { linear: 5 })).toEqual(plain);
});

test.each([
  [{ mode: 'grad', gamma: { linear: 1 } }, 'gamma'],
  [{ mode: 'attnlrp', gamma: { linear: -1 } }, 'gamma.linear'],
  [{ mode: 'attnlrp', gamma: { matmul: 1 } }, 'matmul'],
])('refuses %j', async (options, parameter) => {
  await expect(
    DifferentiableModel.load(
      products[0]?.model as OnnxModel,
      { output: 'y', wrt: ['x'], ...options } as object,
    ),
  ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(parameter) });
});
