import { FsynError } from '../errors.js';
import { tensorsOf } from './external-data.js';
import { outerReferences } from './graph.js';
import type { GraphProto, NodeProto, TensorProto } from './protobuf.js';
import { DataType, isExternal } from './tensors.js';

/** Bits of an element as `raw_data` holds it. Types that are not here are not looked into. */
const BITS = new Map<number, number>([
  [DataType.float32, 32],
  [DataType.float64, 64],
  [DataType.float16, 16],
  [DataType.bfloat16, 16],
  [DataType.int8, 8],
  [DataType.uint8, 8],
  [DataType.bool, 8],
  [DataType.int16, 16],
  [DataType.uint16, 16],
  [DataType.int32, 32],
  [DataType.uint32, 32],
  [DataType.int64, 64],
  [DataType.uint64, 64],
  [DataType.int4, 4],
  [DataType.uint4, 4],
]);

/**
 * What every walk over a graph relies on: tensors hold as many bytes as they say, every name is computed
 * once, and nothing is computed from itself. The standard demands it of files; a file need not.
 *
 * @throws FsynError MODEL_FILE
 */
export function checkSound(graph: GraphProto, source: string): void {
  for (const tensor of tensorsOf(graph)) checkTensor(tensor, source);
  checkNodes(graph, source);
}

function checkTensor(tensor: TensorProto, source: string): void {
  const dims = tensor.dims.map(Number);
  const count = dims.reduce((product, extent) => product * extent, 1);
  const fail = (reason: string) =>
    new FsynError('MODEL_FILE', `${source}: the tensor ${JSON.stringify(tensor.name)} ${reason}.`);
  if (!dims.every((extent) => extent >= 0) || !Number.isSafeInteger(count))
    throw fail(`has the shape [${dims.join(', ')}]`);
  const bits = BITS.get(tensor.dataType);
  if (isExternal(tensor) || bits === undefined || tensor.rawData.length === 0) return;
  const bytes = Math.ceil((count * bits) / 8);
  if (bytes !== tensor.rawData.length)
    throw fail(`has ${tensor.rawData.length} bytes, but its shape [${dims.join(', ')}] wants ${bytes}`);
}

function checkNodes(graph: GraphProto, source: string): void {
  const given = new Set([...graph.input, ...graph.initializer].map(({ name }) => name));
  const producers = new Map<string, NodeProto>();
  for (const node of graph.node) {
    for (const output of node.output) {
      if (output === '') continue;
      if (producers.has(output) || given.has(output))
        throw new FsynError('MODEL_FILE', `${source}: ${JSON.stringify(output)} is computed twice.`);
      producers.set(output, node);
    }
    for (const { g, graphs } of node.attribute)
      for (const body of g ? [g, ...graphs] : graphs) checkNodes(body, source);
  }
  const state = new Map<NodeProto, 'open' | 'done'>();
  for (const root of graph.node) {
    const stack = [root];
    for (let node = stack.at(-1); node !== undefined; node = stack.at(-1)) {
      if (state.get(node) !== undefined) {
        state.set(node, 'done');
        stack.pop();
        continue;
      }
      state.set(node, 'open');
      for (const input of [...node.input, ...outerReferences(node)]) {
        const producer = producers.get(input);
        const found = producer && state.get(producer);
        if (found === 'open')
          throw new FsynError('MODEL_FILE', `${source}: ${JSON.stringify(input)} is computed from itself.`);
        if (producer && found === undefined) stack.push(producer);
      }
    }
  }
}
