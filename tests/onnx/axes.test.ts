import { expect, test } from 'vitest';
import { withEqualAxes } from '../../lib/onnx/axes.js';
import { DifferentiableModel } from '../../lib/onnx/differentiable.js';
import { int64Tensor, tensor } from '../../lib/onnx/tensors.js';
import { discoverTypes } from '../../lib/onnx/types.js';
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

const next = randomStream(8);
/** Central differences of a float32 function with steps of 1e-2. */
const TOLERANCE = 2e-3;

/** A residual around heads that are split and joined by computed shapes, as exporters write attention. */
const block = sketch({
  nodes: [
    node('MatMul', ['x', 'w'], ['h']),
    node('Shape', ['h'], ['extents']),
    node('Gather', ['extents', 'first'], ['b']),
    node('Gather', ['extents', 'second'], ['s']),
    node('Concat', ['b', 's', 'heads'], ['split'], { axis: 0 }),
    node('Reshape', ['h', 'split'], ['apart']),
    node('Transpose', ['apart'], ['turned'], { perm: [0, 2, 1, 3] }),
    node('Sin', ['turned'], ['wave']),
    node('Transpose', ['wave'], ['back'], { perm: [0, 2, 1, 3] }),
    node('Concat', ['b', 's', 'rest'], ['join'], { axis: 0 }),
    node('Reshape', ['back', 'join'], ['joined']),
    node('Add', ['x', 'joined'], ['y']),
  ],
  inputs: [['x', DataType.float32, ['', '', 4]]],
  constants: [
    tensor('w', DataType.float32, [4, 4], Float32Array.from({ length: 16 }, next)),
    int64Tensor('first', [0]),
    int64Tensor('second', [1]),
    int64Tensor('heads', [2, -1]),
    int64Tensor('rest', [-1]),
  ],
});

test('a batch of one in the probe leaves no axis to be found at the run', async () => {
  const probe = { x: randomTensor([1, 3, 4], next) };
  using model = await DifferentiableModel.load(block, { output: 'y', wrt: ['x'], probe });
  expect(model.statistics.dynamicReductions).toBe(0);
  // At another batch size, too.
  const x = randomTensor([2, 5, 4], next);
  const seed = randomTensor([2, 5, 4], next);
  const { gradients } = await model.run({ x }, seed);
  const expected = await numericGradient(block, { x }, seed, 'x', 1e-2);
  expect(relativeError(valuesOf(gradients.x), expected)).toBeLessThan(TOLERANCE);
});

test('axes that may be repeated stay open', async () => {
  const sum = sketch({
    nodes: [node('Add', ['x', 'p'], ['z']), node('Sin', ['z'], ['y'])],
    inputs: [
      ['x', DataType.float32, ['', '', 4]],
      ['p', DataType.float32, ['', '', 4]],
    ],
  });
  const probe = { x: randomTensor([1, 3, 4], next), p: randomTensor([1, 3, 4], next) };
  using model = await DifferentiableModel.load(sum, { output: 'y', wrt: ['x', 'p'], probe });
  expect(model.statistics.dynamicReductions).toBe(2);
  const feeds = { x: randomTensor([2, 3, 4], next), p: randomTensor([1, 3, 4], next) };
  const seed = randomTensor([2, 3, 4], next);
  const { gradients } = await model.run(feeds, seed);
  for (const name of ['x', 'p'] as const) {
    const expected = await numericGradient(sum, feeds, seed, name, 1e-2);
    expect(relativeError(valuesOf(gradients[name]), expected), name).toBeLessThan(TOLERANCE);
  }
});

test('extents that differ in the probe are never called the same', async () => {
  const model = sketch({
    nodes: [node('Add', ['x', 'p'], ['y'])],
    // The file says that both have the same batch, which one of them repeats.
    inputs: [
      ['x', DataType.float32, ['batch', 4]],
      ['p', DataType.float32, ['batch', 4]],
    ],
  });
  const probe = { x: randomTensor([3, 4], next), p: randomTensor([1, 4], next) };
  const types = withEqualAxes(model, await discoverTypes(model, probe));
  expect(types.get('x')?.probe).toEqual([3, 4]);
  expect(types.get('p')?.probe).toEqual([1, 4]);
  const derived = sketch({
    nodes: [node('Sin', ['x'], ['y'])],
    inputs: [['x', DataType.float32, ['', 4]]],
  });
  const lying = new Map(await discoverTypes(derived, { x: randomTensor([3, 4], next) }));
  lying.set('y', { dataType: DataType.float32, shape: ['', 4], probe: [5, 4] });
  const kept = withEqualAxes(derived, lying);
  expect(kept.get('x')?.shape?.[0]).not.toBe('x axis 0');
  expect(kept.get('y')?.shape?.[0]).toBe('');
});
