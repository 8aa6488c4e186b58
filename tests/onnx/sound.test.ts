import { describe, expect, it } from 'vitest';
import { makeNode, valueInfo } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { createMessage, type NodeProto, serializeModel, type TensorProto } from '../../lib/onnx/protobuf.js';
import { DataType, int64Tensor } from '../../lib/onnx/tensors.js';
import { madeUpFeeds } from '../../lib/onnx/types.js';

function load(node: NodeProto[], initializer: TensorProto[] = [], shape: number[] = [1, 4, 8]): OnnxModel {
  const graph = createMessage('GraphProto', {
    name: 'g',
    node,
    initializer,
    input: [valueInfo('x', DataType.float32, shape)],
    output: [valueInfo('y', DataType.float32, shape)],
  });
  const opsetImport = [createMessage('OperatorSetIdProto', { domain: '', version: 17n })];
  return OnnxModel.fromBytes(
    serializeModel(createMessage('ModelProto', { irVersion: 8n, opsetImport, graph })),
  );
}

const body = (node: NodeProto[]): NodeProto => {
  const loop = makeNode('If', ['x'], ['y']);
  const graph = createMessage('GraphProto', { name: 'b', node, output: [valueInfo('z', 1, [1])] });
  loop.attribute.push(createMessage('AttributeProto', { name: 'then_branch', type: 5, g: graph }));
  return loop;
};

describe('a graph', () => {
  it('in which something is computed from itself is refused, however long the way', () => {
    const ring = (length: number) =>
      Array.from({ length }, (_, i) => makeNode('Identity', [`t${(i + 1) % length}`], [`t${i}`]));
    for (const length of [1, 2, 50_000]) {
      const refused = { code: 'MODEL_FILE', message: expect.stringMatching(/is computed from itself/) };
      expect(() => load(ring(length))).toThrow(expect.objectContaining(refused));
    }
    expect(() =>
      load([body([makeNode('Identity', ['b'], ['a']), makeNode('Identity', ['a'], ['b'])])]),
    ).toThrow(/is computed from itself/);
    expect(() => load([body([makeNode('Identity', ['y'], ['z'])])])).toThrow(/"y" is computed from itself/);
  });

  it('that computes a name twice is refused; nodes in any order are taken', () => {
    expect(() => load([makeNode('Abs', ['x'], ['y']), makeNode('Neg', ['x'], ['y'])])).toThrow(
      /"y" is computed twice/,
    );
    expect(() => load([makeNode('Abs', ['x'], ['x'])])).toThrow(/"x" is computed twice/);
    const chain = Array.from({ length: 50_000 }, (_, i) =>
      makeNode('Abs', [i === 0 ? 'x' : `t${i - 1}`], [`t${i}`]),
    );
    expect(load(chain.reverse()).graph.nodes).toHaveLength(50_000);
  });

  it('whose tensors hold something else than they say is refused', () => {
    const nodes = [makeNode('Reshape', ['x', 'w'], ['y'])];
    const shaped = (dims: bigint[]) => {
      const tensor = int64Tensor('w', [4, 8]);
      tensor.dims = dims;
      return load(nodes, [tensor]);
    };
    expect(() => shaped([2n])).not.toThrow();
    for (const dims of [[-2n], [3n], [2n ** 62n], [2n ** 32n, 2n ** 32n], [2n, -1n, -1n]])
      expect(() => shaped(dims)).toThrow(expect.objectContaining({ code: 'MODEL_FILE' }));
  });

  it('is not tried with inputs of any size that it declares', () => {
    for (const extent of [1e8, 1e12, -5]) {
      const { graph } = load([makeNode('Abs', ['x'], ['y'])], [], [1, extent]);
      expect(() => madeUpFeeds(graph)).toThrow(/Input x declares the shape/);
    }
  });
});
