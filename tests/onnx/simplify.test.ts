import { describe, expect, test } from 'vitest';
import { DifferentiableModel } from '../../lib/onnx/differentiable.js';
import { float32Tensor, int64Tensor, tensor } from '../../lib/onnx/tensors.js';
import {
  DataType,
  node,
  numericGradient,
  randomStream,
  randomTensor,
  relativeError,
  sketch,
  valuesOf,
} from './helpers.js';

const next = randomStream(5);
const WIDTH = 6;
/**
 * Central differences of a float32 function with steps of 1e-2: truncation 1e-4 of the value, rounding 1e-5.
 */
const TOLERANCE = 2e-3;

/** An RMS norm as exporters write it out, between casts that change nothing. */
const norm = sketch({
  nodes: [
    node('Cast', ['x'], ['c'], { to: DataType.float32 }),
    node('Pow', ['c', 'two'], ['square']),
    node('ReduceMean', ['square'], ['mean'], { axes: [-1], keepdims: 1 }),
    node('Add', ['mean', 'epsilon'], ['shifted']),
    node('Sqrt', ['shifted'], ['root']),
    node('Div', ['one', 'root'], ['inverse']),
    node('Mul', ['c', 'inverse'], ['unit']),
    node('Cast', ['unit'], ['same'], { to: DataType.float32 }),
    node('Mul', ['w', 'same'], ['z']),
    node('Sin', ['z'], ['y']),
  ],
  inputs: [['x', DataType.float32, ['n', 'm', WIDTH]]],
  constants: [
    float32Tensor('two', [2]),
    float32Tensor('one', [1]),
    float32Tensor('epsilon', [1e-3]),
    tensor('w', DataType.float32, [WIDTH], Float32Array.from({ length: WIDTH }, next)),
  ],
});

async function gradientOf(options: object) {
  const x = randomTensor([2, 3, WIDTH], randomStream(6));
  const seed = randomTensor([2, 3, WIDTH], randomStream(7));
  using model = await DifferentiableModel.load(norm, { output: 'y', ...options });
  const { gradients } = await model.run({ x }, seed);
  return { model, x, seed, gradients };
}

test('an RMS norm that is written out becomes one operator, with the same gradient', async () => {
  const { model, x, seed, gradients } = await gradientOf({ wrt: ['x'] });
  expect(model.statistics.operators).toEqual(['SimplifiedLayerNormalization', 'Sin']);
  expect(model.statistics.forwardNodes).toBe(2);
  const expected = await numericGradient(norm, { x }, seed, 'x', 1e-2);
  expect(relativeError(valuesOf(gradients.x), expected)).toBeLessThan(TOLERANCE);
});

test('tensors that are asked for stay, inside a norm and behind a cast', async () => {
  const inside = await gradientOf({ wrt: ['x', 'inverse', 'same'] });
  expect(inside.model.statistics.operators).toContain('Pow');
  expect(Object.keys(inside.gradients)).toEqual(['x', 'inverse', 'same']);
  const { gradients } = await gradientOf({ wrt: ['x'] });
  expect(relativeError(valuesOf(inside.gradients.x), valuesOf(gradients.x))).toBeLessThan(1e-5);
});

describe('the gradient of attention', () => {
  const build = (nodes: Parameters<typeof sketch>[0]['nodes']) =>
    sketch({
      nodes: [
        node('MatMul', ['q', 'k'], ['scores']),
        node('Mul', ['scores', 'scale'], ['scaled']),
        node('Softmax', ['scaled'], ['p'], { axis: -1 }),
        node('MatMul', ['p', 'v'], ['o']),
        ...nodes,
      ],
      inputs: [
        ['q', DataType.float32, ['b', 'h', 's', 4]],
        ['k', DataType.float32, ['b', 'h', 4, 't']],
        ['v', DataType.float32, ['b', 'h', 't', 4]],
      ],
      constants: [float32Tensor('scale', [0.7]), int64Tensor('axes', [-1])],
    });

  test.each([
    { title: 'that one product reads', model: build([node('Sin', ['o'], ['y'])]) },
    {
      title: 'with a second reader of the probabilities',
      model: build([
        node('Mul', ['p', 'p'], ['squares']),
        node('ReduceSum', ['squares', 'axes'], ['sum'], { keepdims: 1 }),
        node('Mul', ['o', 'sum'], ['y']),
      ]),
    },
  ])('$title equals central differences', async ({ model }) => {
    const feeds = {
      q: randomTensor([2, 3, 6, 4], next),
      k: randomTensor([2, 3, 4, 5], next),
      v: randomTensor([2, 3, 5, 4], next),
    };
    const seed = randomTensor([2, 3, 6, 4], next);
    const names = ['q', 'k', 'v'] as const;
    using extended = await DifferentiableModel.load(model, { output: 'y', wrt: names, probe: feeds });
    const { gradients } = await extended.run(feeds, seed);
    for (const name of names) {
      const expected = await numericGradient(model, feeds, seed, name, 1e-2);
      expect(relativeError(valuesOf(gradients[name]), expected), name).toBeLessThan(TOLERANCE);
    }
  });
});
