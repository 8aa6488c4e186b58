import { describe, expect, it } from 'vitest';
import type { NodeOptions } from '../../lib/onnx/graph.js';
import { createMessage, type NodeProto, type TensorProto } from '../../lib/onnx/protobuf.js';
import { DataType, float32Tensor, tensor } from '../../lib/onnx/tensors.js';
import { matrixCosts, modelCosts } from '../../lib/vlm/files/costs.js';
import { node, sketch } from '../onnx/helpers.js';

const ms = (opType: string, input: string[], options: NodeOptions['attributes'] = {}): NodeProto => {
  const made = node(opType, input, ['y'], options);
  made.domain = 'com.microsoft';
  return made;
};
const float = (name: string, dims: number[]): TensorProto =>
  float32Tensor(name, new Array(dims.reduce((a, b) => a * b, 1)).fill(0.5), dims);
const bytes = (name: string, dims: number[], type: number = DataType.uint8): TensorProto =>
  tensor(name, type, dims, new Uint8Array(dims.reduce((a, b) => a * b, 1)));

const graph = (nodes: NodeProto[], constants: TensorProto[]) =>
  sketch({ nodes, constants, inputs: [['x', DataType.float32, ['rows', 6]]] }).graph;

/** One product of 6 by 10 weights each, as exports write it. */
const products: [string, NodeProto[], TensorProto[]][] = [
  ['MatMul', [node('MatMul', ['x', 'w'], ['y'])], [float('w', [6, 10])]],
  ['MatMul of a constant on the left', [node('MatMul', ['w', 'x'], ['y'])], [float('w', [10, 6])]],
  ['Gemm', [node('Gemm', ['x', 'w'], ['y'])], [float('w', [6, 10])]],
  ['Gemm, transposed', [node('Gemm', ['x', 'w'], ['y'], { transB: 1 })], [float('w', [10, 6])]],
  ['FusedMatMul, transposed', [ms('FusedMatMul', ['x', 'w'], { transB: 1 })], [float('w', [10, 6])]],
  [
    'MatMul behind Transpose',
    [node('Transpose', ['w'], ['t'], { perm: [1, 0] }), node('MatMul', ['x', 't'], ['y'])],
    [float('w', [10, 6])],
  ],
  [
    'MatMul behind Cast and DequantizeLinear',
    [
      node('DequantizeLinear', ['w', 'scale', 'zero'], ['d']),
      node('Cast', ['d'], ['c'], { to: DataType.float32 }),
      node('MatMul', ['x', 'c'], ['y']),
    ],
    [bytes('w', [6, 10]), float('scale', []), bytes('zero', [])],
  ],
  ['MatMulInteger', [node('MatMulInteger', ['x', 'w'], ['y'])], [bytes('w', [6, 10])]],
  ['MatMulIntegerToFloat', [ms('MatMulIntegerToFloat', ['x', 'w'])], [bytes('w', [6, 10])]],
  ['DynamicQuantizeMatMul', [ms('DynamicQuantizeMatMul', ['x', 'w'])], [bytes('w', [6, 10])]],
  [
    'QLinearMatMul',
    [node('QLinearMatMul', ['x', 's', 'z', 'w', 's', 'z', 's', 'z'], ['y'])],
    [bytes('w', [6, 10]), float('s', []), bytes('z', [])],
  ],
  [
    'QGemm',
    [ms('QGemm', ['x', 's', 'z', 'w', 's', 'z'], { transB: 1 })],
    [bytes('w', [10, 6]), float('s', []), bytes('z', [])],
  ],
  ['MatMulNBits', [ms('MatMulNBits', ['x', 'w'], { K: 6, N: 10 })], [bytes('w', [10, 1, 16])]],
  ['MatMulBnb4', [ms('MatMulBnb4', ['x', 'w'], { K: 6, N: 10 })], [bytes('w', [30])]],
  ['Attention', [ms('Attention', ['x', 'w'], { num_heads: 2 })], [float('w', [6, 10])]],
  ['QAttention', [ms('QAttention', ['x', 'w'], { num_heads: 2 })], [bytes('w', [6, 10])]],
  [
    'an operator that nobody knows',
    [ms('MatMulOfTomorrow', ['x', 'b', 'w'])],
    [float('w', [6, 10]), float('b', [10])],
  ],
];

describe('costs of a graph', () => {
  it.each(products)('counts %s', (_, nodes, constants) => {
    expect(matrixCosts(graph(nodes, constants))).toMatchObject({
      weights: 60,
      head: 0,
      convolution: 0,
      width: 6,
    });
  });

  it.each([
    ['Conv', 1],
    ['ConvInteger', 1],
    ['QLinearConv', 3],
  ])('counts %s', (opType, at) => {
    const inputs = Array.from({ length: at + 1 }, (_, i) => (i === at ? 'w' : 'x'));
    const costs = matrixCosts(graph([node(opType, inputs, ['y'])], [bytes('w', [8, 3, 2, 2])]));
    expect(costs).toMatchObject({ convolution: 96, weights: 0 });
  });

  it('finds a dynamically quantised head behind its scales', () => {
    const dynamic = (x: string, w: string, y: string) => [
      node('DynamicQuantizeLinear', [x], [`${y}.q`, `${y}.s`, `${y}.z`]),
      node('MatMulInteger', [`${y}.q`, w, `${y}.z`], [`${y}.i`]),
      node('Cast', [`${y}.i`], [`${y}.c`], { to: DataType.float32 }),
      node('Mul', [`${y}.s`, 'scale'], [`${y}.m`]),
      node('Mul', [`${y}.c`, `${y}.m`], [y]),
    ];
    const made = graph(
      [...dynamic('x', 'w', 'h'), ...dynamic('h', 'v', 'y')],
      [bytes('w', [6, 10]), bytes('v', [10, 100]), float('scale', [])],
    );
    expect(matrixCosts(made, 'y')).toMatchObject({ weights: 60, head: 1000 });
  });

  it('counts the dearer branch of a conditional, with constants from around it', () => {
    const body = (nodes: NodeProto[], initializer: TensorProto[] = []) =>
      createMessage('GraphProto', { name: 'body', node: nodes, initializer });
    const branch = node('If', ['x'], ['y']);
    branch.attribute = [
      createMessage('AttributeProto', {
        name: 'then_branch',
        type: 5,
        g: body([node('MatMul', ['x', 'w'], ['y'])]),
      }),
      createMessage('AttributeProto', {
        name: 'else_branch',
        type: 5,
        g: body([node('MatMul', ['x', 'v'], ['y'])], [float('v', [6, 7])]),
      }),
    ];
    expect(matrixCosts(graph([branch], [float('w', [6, 10])]), 'y')).toMatchObject({ weights: 60, head: 0 });
  });

  it.each([
    ['whose products are not known', [node('Add', ['x', 'w'], ['y'])], [float('w', [6, 10])], 61],
    ['without any matrix', [node('Neg', ['x'], ['y'])], [], 1],
  ] as [string, NodeProto[], TensorProto[], number][])(
    'is never nothing: a graph %s',
    (_, nodes, constants, weights) => {
      const costs = matrixCosts(graph(nodes, constants), 'y');
      expect(costs.weights).toBe(weights);
      for (const value of Object.values(modelCosts(costs, costs, 4)))
        expect(Number.isFinite(value)).toBe(true);
    },
  );
});
