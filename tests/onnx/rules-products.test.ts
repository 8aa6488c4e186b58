import { float32Tensor, int64Tensor } from '../../lib/onnx/tensors.js';
import { node } from './helpers.js';
import { describeRules, LINEAR, microsoft, numberSource, SMOOTH } from './rule-cases.js';

const numbers = numberSource(42);

describeRules('rules of products', [
  {
    name: 'MatMul with both operands live, batch broadcast',
    nodes: [
      node('Transpose', ['x'], ['t'], { perm: [0, 2, 1] }),
      node('Unsqueeze', ['t', 'zero'], ['u']),
      node('MatMul', ['x', 'u'], ['y']),
    ],
    constants: [int64Tensor('zero', [1])],
    step: SMOOTH,
  },
  {
    name: 'MatMul with a matrix',
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    constants: [float32Tensor('w', numbers(30), [5, 6])],
    step: LINEAR,
  },
  {
    name: 'FusedMatMul: all four transpositions',
    nodes: [
      node('FusedMatMul', ['x', 'w'], ['a'], { alpha: { float: 0.5 } }, microsoft),
      node('FusedMatMul', ['x', 'a'], ['b'], { transA: 1 }, microsoft),
      node('FusedMatMul', ['b', 'x'], ['c'], { transA: 1, transB: 1, alpha: { float: 2 } }, microsoft),
      node('FusedMatMul', ['c', 'wt'], ['y'], { transB: 1 }, microsoft),
    ],
    constants: [float32Tensor('w', numbers(15), [5, 3]), float32Tensor('wt', numbers(8), [2, 4])],
    step: SMOOTH,
  },
  {
    name: 'Gemm transB, alpha, beta, live bias',
    nodes: [
      node('Reshape', ['x', 'shape'], ['r']),
      node('ReduceSum', ['r', 'axes'], ['s'], { keepdims: 1 }),
      node('Gemm', ['r', 'w', 's'], ['y'], { transB: 1, alpha: { float: 0.5 }, beta: { float: 3 } }),
    ],
    constants: [
      int64Tensor('shape', [-1, 5]),
      int64Tensor('axes', [1]),
      float32Tensor('w', numbers(20), [4, 5]),
    ],
    step: LINEAR,
  },
  {
    name: 'Gemm transA',
    nodes: [node('Reshape', ['x', 'shape'], ['r']), node('Gemm', ['r', 'r'], ['y'], { transA: 1 })],
    constants: [int64Tensor('shape', [-1, 5])],
    step: SMOOTH,
  },
  {
    name: 'Einsum bij,bkj->bik',
    nodes: [node('Einsum', ['x', 'x'], ['y'], { equation: 'bij,bkj->bik' })],
    step: SMOOTH,
  },
  {
    name: 'Einsum with a summed index',
    nodes: [node('Einsum', ['x', 'w'], ['y'], { equation: 'bij,bk->bk' })],
    constants: [float32Tensor('w', numbers(6), [3, 2])],
    step: LINEAR,
  },
  {
    name: 'Conv, stride remainder',
    nodes: [node('Conv', ['x', 'w'], ['y'], { strides: [3, 3], kernel_shape: [2, 2], pads: [0, 1, 0, 0] })],
    constants: [float32Tensor('w', numbers(24), [3, 2, 2, 2])],
    dims: [2, 2, 8, 9],
    step: LINEAR,
  },
  {
    name: 'Conv, depthwise, dilated',
    nodes: [
      node('Conv', ['x', 'w'], ['y'], {
        group: 4,
        dilations: [2, 2],
        kernel_shape: [3, 3],
        pads: [2, 2, 2, 2],
      }),
    ],
    constants: [float32Tensor('w', numbers(36), [4, 1, 3, 3])],
    dims: [1, 4, 6, 7],
    step: LINEAR,
  },
  {
    name: 'Conv, 3D patches as in Qwen',
    nodes: [node('Conv', ['x', 'w'], ['y'], { strides: [2, 3, 3], kernel_shape: [2, 3, 3] })],
    constants: [float32Tensor('w', numbers(4 * 2 * 18), [4, 2, 2, 3, 3])],
    dims: [2, 2, 2, 3, 3],
    step: LINEAR,
  },
]);
