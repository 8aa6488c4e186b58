import { float32Tensor, int64Tensor } from '../../lib/onnx/tensors.js';
import { node } from './helpers.js';
import { describeRules, LINEAR, numberSource, SMOOTH } from './rule-cases.js';

const numbers = numberSource(42);

describeRules('rules of scans, reductions and norms', [
  {
    name: 'CumSum, reversed',
    nodes: [node('CumSum', ['x', 'a'], ['y'], { reverse: 1 })],
    constants: [int64Tensor('a', [1], [])],
    step: LINEAR,
  },
  { name: 'Trilu', nodes: [node('Trilu', ['x'], ['y'], { upper: 0 })], step: LINEAR },
  {
    name: 'ReduceMean, axes as input (opset 18)',
    nodes: [node('ReduceMean', ['x', 'a'], ['y'], { keepdims: 0 })],
    constants: [int64Tensor('a', [0, -1])],
    opset: 18,
    step: LINEAR,
  },
  {
    name: 'ReduceMean of everything',
    nodes: [node('ReduceMean', ['x'], ['y'], { keepdims: 0 })],
    step: LINEAR,
  },
  { name: 'ReduceMax', nodes: [node('ReduceMax', ['x'], ['y'], { axes: [1], keepdims: 0 })], step: 1e-3 },
  { name: 'ReduceL2', nodes: [node('ReduceL2', ['x'], ['y'], { axes: [-1], keepdims: 1 })], step: SMOOTH },
  {
    name: 'Softmax on axis 0, LogSoftmax on axis 1',
    nodes: [node('Softmax', ['x'], ['s'], { axis: 0 }), node('LogSoftmax', ['s'], ['y'], { axis: 1 })],
    step: SMOOTH,
  },
  {
    name: 'LayerNormalization',
    nodes: [node('LayerNormalization', ['x', 'w', 'b'], ['y'], { axis: -1 })],
    constants: [float32Tensor('w', numbers(5), [5]), float32Tensor('b', numbers(5), [5])],
    step: SMOOTH,
    spread: 3,
  },
  {
    name: 'LayerNormalization over two axes',
    nodes: [node('LayerNormalization', ['x', 'w'], ['y'], { axis: 1 })],
    constants: [float32Tensor('w', numbers(20), [4, 5])],
    step: SMOOTH,
    spread: 3,
  },
  {
    name: 'SimplifiedLayerNormalization',
    nodes: [
      node('SimplifiedLayerNormalization', ['x', 'w'], ['y'], {
        axis: -1,
        epsilon: { float: 1e-5 },
        stash_type: 1,
      }),
    ],
    constants: [float32Tensor('w', numbers(5), [5])],
    step: SMOOTH,
    spread: 3,
  },
]);
