import { float32Tensor, int64Tensor, tensor } from '../../lib/onnx/tensors.js';
import { DataType, node } from './helpers.js';
import { describeRules, LINEAR, microsoft, numberSource, SMOOTH } from './rule-cases.js';

const numbers = numberSource(42);

describeRules('elementwise rules and activations', [
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
]);
