import { attributes, findAttribute, intAttribute } from './attributes.js';
import { makeNode } from './graph.js';
import type { OnnxModel } from './model.js';
import { createMessage, type NodeProto, type TensorProto, type ValueInfoProto } from './protobuf.js';
import { DataType, dimensions, float32Tensor, HALF, tensorValues } from './tensors.js';

/**
 * Turns a half-precision graph into a float32 one, in place: inputs, outputs and all arithmetic. Weights keep
 * their bytes and are cast when the session opens. Gradients in half precision would underflow, and the CPU
 * computes it in float32 anyway.
 */
export function toFloat32(model: OnnxModel): void {
  const { graph } = model;
  const casts: NodeProto[] = [];
  const isHalf = (value: ValueInfoProto) => HALF.has(value.type?.tensorType?.elemType ?? 0);
  const touched =
    graph.proto.initializer.some((item) => HALF.has(item.dataType)) ||
    graph.proto.input.some(isHalf) ||
    graph.nodes.some(makesHalf);
  if (!touched) return;
  graph.proto.initializer = graph.proto.initializer.map((item) => {
    if (!HALF.has(item.dataType)) return item;
    const name = graph.uniqueName(`${item.name}/half`);
    casts.push(
      makeNode('Cast', [name], [item.name], { name: `${name}/cast`, attributes: { to: DataType.float32 } }),
    );
    return Object.assign(createMessage('TensorProto'), item, { name });
  });
  for (const node of graph.nodes) widen(node);
  graph.proto.input = graph.proto.input.map(widenedValue);
  graph.proto.output = graph.proto.output.map(widenedValue);
  graph.proto.valueInfo = [];
  graph.setNodes([...casts, ...graph.proto.node]);
}

function makesHalf(node: NodeProto): boolean {
  return node.attribute.some(
    (item) => (item.t && HALF.has(item.t.dataType)) || (isTypeName(item.name) && HALF.has(Number(item.i))),
  );
}

function isTypeName(attribute: string): boolean {
  return attribute === 'to' || attribute === 'dtype';
}

function widen(node: NodeProto): void {
  for (const name of ['to', 'dtype']) {
    if (findAttribute(node, name) && HALF.has(intAttribute(node, name, 0)))
      replace(node, name, DataType.float32);
  }
  const value = findAttribute(node, 'value')?.t;
  if (value?.dataType === DataType.float16) {
    replace(node, 'value', float32Tensor(value.name, tensorValues(value) ?? [], dimensions(value)));
  }
}

function replace(node: NodeProto, name: string, value: number | TensorProto): void {
  node.attribute = [...node.attribute.filter((item) => item.name !== name), ...attributes({ [name]: value })];
}

function widenedValue(value: ValueInfoProto): ValueInfoProto {
  const tensorType = value.type?.tensorType;
  if (!tensorType || !HALF.has(tensorType.elemType)) return value;
  return createMessage('ValueInfoProto', {
    name: value.name,
    type: { tensorType: { ...tensorType, elemType: DataType.float32 } } as never,
  });
}
