import { expect, test } from 'vitest';
import { activationQuantizers } from '../../lib/onnx/activations.js';
import { makeNode, OnnxGraph } from '../../lib/onnx/graph.js';
import { createMessage, type NodeProto } from '../../lib/onnx/protobuf.js';
import { DataType, float32Tensor, int64Tensor, tensor } from '../../lib/onnx/tensors.js';

function graphOf(...nodes: NodeProto[]): OnnxGraph {
  const graph = new OnnxGraph(createMessage('GraphProto', { name: 'test' }));
  graph.addInitializer(float32Tensor('scale', [0.1]));
  graph.addInitializer(int64Tensor('zero', [0], []));
  graph.addInitializer(tensor('weights', DataType.int8, [2, 2], Int8Array.of(1, 2, 3, 4)));
  graph.addInitializer(float32Tensor('table', [1, 2, 3, 4], [2, 2]));
  graph.setNodes(nodes);
  return graph;
}

const bits = (level: number) =>
  makeNode('MatMulNBits', ['x', 'weights', 'scale'], ['y'], {
    domain: 'com.microsoft',
    attributes: { K: 2, N: 2, bits: 4, block_size: 32, accuracy_level: level },
  });

test.each([
  {
    title: 'dynamic, one scale',
    nodes: [makeNode('DynamicQuantizeLinear', ['x'], ['q', 's', 'z'])],
    found: ['DynamicQuantizeLinear'],
  },
  {
    title: 'fused',
    nodes: [makeNode('DynamicQuantizeMatMul', ['x', 'weights', 'scale'], ['y'], { domain: 'com.microsoft' })],
    found: ['DynamicQuantizeMatMul'],
  },
  { title: 'static', nodes: [makeNode('QuantizeLinear', ['x', 'scale'], ['q'])], found: ['QuantizeLinear'] },
  { title: 'of a constant', nodes: [makeNode('QuantizeLinear', ['table', 'scale'], ['q'])], found: [] },
  { title: 'of weights only', nodes: [makeNode('DequantizeLinear', ['weights', 'scale'], ['w'])], found: [] },
  { title: 'accuracy level 4', nodes: [bits(4)], found: ['MatMulNBits of accuracy_level 4'] },
  { title: 'accuracy level 1', nodes: [bits(1)], found: [] },
])('$title', ({ nodes, found }) => {
  expect(activationQuantizers(graphOf(...nodes))).toEqual(found);
});

test('in the branch of a conditional', () => {
  const body = createMessage('GraphProto', { name: 'body', node: [bits(4)] });
  const branch = makeNode('If', ['flag'], ['out'], {});
  branch.attribute = [createMessage('AttributeProto', { name: 'then_branch', g: body })];
  expect(activationQuantizers(graphOf(branch))).toEqual(['MatMulNBits of accuracy_level 4']);
});
