import { float32Tensor, int64Tensor } from '../../lib/onnx/tensors.js';
import { DataType, int64, node } from './helpers.js';
import { describeRules, LINEAR, numberSource, SMOOTH } from './rule-cases.js';

const numbers = numberSource(42);

describeRules('rules of shapes', [
  {
    name: 'Reshape, Flatten, Squeeze, Unsqueeze, Transpose',
    nodes: [
      node('Transpose', ['x'], ['t']),
      node('Unsqueeze', ['t', 'one'], ['u']),
      node('Squeeze', ['u', 'one'], ['s']),
      node('Flatten', ['s'], ['f'], { axis: 1 }),
      node('Reshape', ['f', 'shape'], ['y']),
    ],
    constants: [int64Tensor('one', [1]), int64Tensor('shape', [3, -1])],
    step: LINEAR,
  },
  {
    name: 'Expand to a given shape',
    nodes: [node('Unsqueeze', ['x', 'u'], ['v']), node('Expand', ['v', 's'], ['y'])],
    constants: [int64Tensor('u', [1]), int64Tensor('s', [2, 3, 4, 4, 5])],
    step: LINEAR,
  },
  {
    name: 'Tile',
    nodes: [node('Tile', ['x', 'r'], ['y'])],
    constants: [int64Tensor('r', [2, 1, 3])],
    step: LINEAR,
  },
  {
    name: 'Concat with itself and a constant',
    nodes: [node('Concat', ['x', 'x', 'k'], ['c'], { axis: 1 }), node('Mul', ['c', 'w'], ['y'])],
    constants: [float32Tensor('k', numbers(15), [3, 1, 5]), float32Tensor('w', [1, 2, 3, 4, 5], [5])],
    step: LINEAR,
  },
  {
    name: 'Split with one part unused',
    nodes: [node('Split', ['x', 'sizes'], ['a', 'b', 'c'], { axis: 2 }), node('Mul', ['a', 'c'], ['y'])],
    constants: [int64Tensor('sizes', [2, 1, 2])],
    step: SMOOTH,
  },
  {
    name: 'Slice, negative step',
    nodes: [node('Slice', ['x', 's', 'e', 'a', 'p'], ['y'])],
    constants: [
      int64Tensor('s', [-1]),
      int64Tensor('e', [-1000]),
      int64Tensor('a', [1]),
      int64Tensor('p', [-1]),
    ],
    step: LINEAR,
  },
  {
    name: 'Slice, steps 2 and -2 on two axes',
    nodes: [node('Slice', ['x', 's', 'e', 'a', 'p'], ['y'])],
    constants: [
      int64Tensor('s', [0, -1]),
      int64Tensor('e', [100, -1000]),
      int64Tensor('a', [0, 2]),
      int64Tensor('p', [2, -2]),
    ],
    step: LINEAR,
  },
  {
    name: 'Slice, negative start, clamped end',
    nodes: [node('Slice', ['x', 's', 'e', 'a'], ['y'])],
    constants: [int64Tensor('s', [-2, 1]), int64Tensor('e', [2 ** 53, -1]), int64Tensor('a', [1, -1])],
    step: LINEAR,
  },
  {
    name: 'Slice, bounds at run time',
    nodes: [node('Slice', ['x', 's', 'e', 'a'], ['y'])],
    constants: [int64Tensor('a', [1])],
    inputs: [
      ['s', DataType.int64, [1]],
      ['e', DataType.int64, [1]],
    ],
    feeds: { s: int64([-3]), e: int64([-1]) },
    step: LINEAR,
  },
  {
    name: 'Pad',
    nodes: [node('Pad', ['x', 'p'], ['y'])],
    constants: [int64Tensor('p', [1, 0, 2, 0, 1, 0])],
    step: LINEAR,
  },
]);
