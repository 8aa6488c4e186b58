import { int64Tensor } from '../../lib/onnx/tensors.js';
import { node } from './helpers.js';
import { describeRules, LINEAR } from './rule-cases.js';

describeRules('rules of indexing', [
  {
    name: 'Gather on axis 1, repeated and negative indices',
    nodes: [node('Gather', ['x', 'i'], ['y'], { axis: 1 })],
    constants: [int64Tensor('i', [0, 2, 2, 3, -1, 0], [2, 3])],
    step: LINEAR,
  },
  {
    name: 'Gather on axis 0, repeated indices',
    nodes: [node('Gather', ['x', 'i'], ['y'], { axis: 0 })],
    constants: [int64Tensor('i', [0, 2, 2, 1])],
    step: LINEAR,
  },
  {
    name: 'Gather one, counted from the end',
    nodes: [node('Gather', ['x', 'i'], ['y'], { axis: 2 })],
    constants: [int64Tensor('i', [-1], [])],
    step: LINEAR,
  },
  {
    name: 'GatherElements',
    nodes: [node('GatherElements', ['x', 'i'], ['y'], { axis: 2 })],
    constants: [
      int64Tensor(
        'i',
        Array.from({ length: 24 }, (_, i) => (i * 7) % 5),
        [3, 4, 2],
      ),
    ],
    step: LINEAR,
  },
  {
    name: 'GatherND',
    nodes: [node('GatherND', ['x', 'i'], ['y'])],
    constants: [int64Tensor('i', [0, 1, 2, 3, 0, 1], [3, 2])],
    step: LINEAR,
  },
  {
    name: 'ScatterND, data and updates live',
    nodes: [
      node('ReduceSum', ['x', 'ax'], ['u'], { keepdims: 0 }),
      node('ScatterND', ['x', 'i', 'u'], ['y']),
    ],
    constants: [int64Tensor('ax', [0]), int64Tensor('i', [0, 1, 2, 3, 1, 0, 0, 0], [4, 2])],
    step: LINEAR,
  },
  {
    name: 'ScatterND with addition',
    nodes: [
      node('ReduceSum', ['x', 'ax'], ['u'], { keepdims: 0 }),
      node('ScatterND', ['x', 'i', 'u'], ['y'], { reduction: 'add' }),
    ],
    constants: [int64Tensor('ax', [0]), int64Tensor('i', [0, 1, 2, 3, 1, 0, 0, 1], [4, 2])],
    step: LINEAR,
  },
  {
    name: 'ScatterElements',
    nodes: [
      node('Slice', ['x', 's', 'e', 'a'], ['u']),
      node('ScatterElements', ['x', 'i', 'u'], ['y'], { axis: 2 }),
    ],
    constants: [
      int64Tensor('s', [1]),
      int64Tensor('e', [2]),
      int64Tensor('a', [2]),
      int64Tensor(
        'i',
        Array.from({ length: 12 }, (_, i) => i % 5),
        [3, 4, 1],
      ),
    ],
    step: LINEAR,
  },
]);
