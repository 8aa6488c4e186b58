import { describe, expect, test } from 'vitest';
import type { NodeProto, TensorProto } from '../../lib/onnx/protobuf.js';
import { float32Tensor, int64Tensor, tensor } from '../../lib/onnx/tensors.js';
import type { Feeds } from '../../lib/onnx/types.js';
import {
  analyticGradient,
  DataType,
  forward,
  int64,
  node,
  numericGradient,
  randomStream,
  randomTensor,
  relativeError,
  sketch,
} from './helpers.js';

interface RuleCase {
  readonly name: string;
  readonly nodes: readonly NodeProto[];
  readonly constants?: readonly TensorProto[];
  readonly dims?: readonly number[];
  readonly opset?: number;
  /** Step of the central difference. Linear operators take a large one, where only rounding is left. */
  readonly step?: number;
  readonly inputs?: readonly (readonly [string, number, readonly number[]])[];
  readonly feeds?: Feeds;
  /** x = center + spread * random, for operators with a domain or a kink. */
  readonly center?: number;
  readonly spread?: number;
}

const next = randomStream(42);
const numbers = (count: number): number[] => Array.from({ length: count }, next);
const microsoft = 'com.microsoft';
const [LINEAR, SMOOTH] = [0.5, 1e-2];

const cases: RuleCase[] = [
  {
    name: 'Add, Sub, broadcast both ways',
    nodes: [node('Add', ['x', 'k'], ['a']), node('Sub', ['k', 'a'], ['y'])],
    constants: [float32Tensor('k', numbers(10), [2, 1, 1, 5])],
    step: LINEAR,
  },
  {
    name: 'Sum of three',
    nodes: [node('Sum', ['x', 'k', 'x'], ['y'])],
    constants: [float32Tensor('k', numbers(5), [5])],
    step: LINEAR,
  },
  {
    name: 'Mul with itself, sliced to broadcast',
    nodes: [node('ReduceSum', ['x', 'axes'], ['r'], { keepdims: 1 }), node('Mul', ['x', 'r'], ['y'])],
    constants: [int64Tensor('axes', [1])],
    step: SMOOTH,
  },
  {
    name: 'Div by a computed divisor',
    nodes: [node('Mul', ['x', 'x'], ['s']), node('Add', ['s', 'one'], ['d']), node('Div', ['x', 'd'], ['y'])],
    constants: [float32Tensor('one', [1])],
    step: SMOOTH,
  },
  {
    name: 'Neg, Identity, Dropout, Cast',
    nodes: [
      node('Neg', ['x'], ['n']),
      node('Identity', ['n'], ['i']),
      node('Dropout', ['i'], ['o']),
      node('Cast', ['o'], ['c'], { to: DataType.float64 }),
      node('Cast', ['c'], ['y'], { to: DataType.float32 }),
    ],
    step: LINEAR,
  },
  {
    name: 'Sqrt, Reciprocal, Log',
    nodes: [node('Sqrt', ['x'], ['s']), node('Reciprocal', ['s'], ['r']), node('Log', ['r'], ['y'])],
    step: SMOOTH,
    center: 2,
  },
  {
    name: 'Exp, Sin, Cos',
    nodes: [node('Exp', ['x'], ['e']), node('Sin', ['e'], ['s']), node('Cos', ['s'], ['y'])],
    step: SMOOTH,
  },
  {
    name: 'Pow 3 and Pow 2',
    nodes: [node('Pow', ['x', 'three'], ['p']), node('Pow', ['p', 'two'], ['y'])],
    constants: [float32Tensor('three', [3]), float32Tensor('two', [2])],
    step: SMOOTH,
  },
  {
    name: 'Pow -0.5',
    nodes: [node('Pow', ['x', 'e'], ['y'])],
    constants: [float32Tensor('e', [-0.5])],
    step: SMOOTH,
    center: 3,
  },
  {
    name: 'Abs, Relu, LeakyRelu, Clip, Min, Max',
    nodes: [
      node('Abs', ['x'], ['a']),
      node('Clip', ['a', 'lo', 'hi'], ['c']),
      node('Max', ['c', 'half'], ['m']),
      node('Min', ['m', 'big'], ['n']),
      node('Relu', ['x'], ['r']),
      node('LeakyRelu', ['x'], ['l'], { alpha: { float: 0.1 } }),
      node('Sum', ['n', 'r', 'l'], ['y']),
    ],
    constants: [
      float32Tensor('lo', [0.2]),
      float32Tensor('hi', [0.8]),
      float32Tensor('half', [0.4]),
      float32Tensor('big', [0.7]),
    ],
    step: 1e-3,
  },
  {
    name: 'Where with a broadcast condition',
    nodes: [
      node('Where', ['c', 'x', 'k'], ['w']),
      node('Where', ['c', 'k', 'x'], ['v']),
      node('Sub', ['w', 'v'], ['y']),
    ],
    constants: [tensor('c', DataType.bool, [4, 1], Uint8Array.from([1, 0, 1, 0])), float32Tensor('k', [0])],
    step: LINEAR,
  },
  {
    name: 'Sigmoid, Tanh, Erf, Softplus',
    nodes: [
      node('Sigmoid', ['x'], ['a']),
      node('Tanh', ['x'], ['b']),
      node('Erf', ['x'], ['c']),
      node('Softplus', ['x'], ['d']),
      node('Sum', ['a', 'b', 'c', 'd'], ['s']),
      node('Mul', ['s', 's'], ['y']),
    ],
    step: SMOOTH,
  },
  {
    name: 'Gelu (opset 20, erf and tanh)',
    nodes: [node('Gelu', ['x'], ['a']), node('Gelu', ['a'], ['y'], { approximate: 'tanh' })],
    opset: 20,
    step: SMOOTH,
    spread: 2,
  },
  {
    name: 'Gelu, QuickGelu, FastGelu (contrib)',
    nodes: [
      node('Gelu', ['x'], ['a'], {}, microsoft),
      node('QuickGelu', ['a'], ['b'], { alpha: { float: 1.702 } }, microsoft),
      node('FastGelu', ['b'], ['y'], {}, microsoft),
    ],
    step: SMOOTH,
    spread: 2,
  },
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
];

describe('rules equal central differences', () => {
  for (const item of cases) {
    test(item.name, async () => {
      const dims = item.dims ?? [3, 4, 5];
      const random = randomStream(7);
      const x = randomTensor(dims, () => (item.center ?? 0) + (item.spread ?? 1) * random());
      const model = sketch({
        nodes: item.nodes,
        inputs: [['x', DataType.float32, dims.map((_, i) => `d${i}`)], ...(item.inputs ?? [])],
        ...(item.constants ? { constants: item.constants } : {}),
        ...(item.opset ? { opset: item.opset } : {}),
      });
      const feeds = { ...item.feeds, x };
      const y = (await forward(model, feeds)).y;
      const seed = randomTensor(y?.shape ?? [], random);
      const { gradient } = await analyticGradient(model, feeds, seed, 'x');
      const numeric = await numericGradient(model, feeds, seed, 'x', item.step ?? SMOOTH);
      // Float32 forward values of order 10 carry 1e-6; divided by a step of 1e-2 that is 1e-4, by 1e-3 it is 1e-3,
      // and the third-order term of the difference adds about as much.
      expect(relativeError(gradient, numeric)).toBeLessThan((item.step ?? SMOOTH) >= 0.5 ? 1e-5 : 3e-3);
    });
  }
});
