import { Session, type TensorValue } from '../inference/session.js';
import { packed } from '../inference/tensor.js';
import { makeNode, valueInfo } from './graph.js';
import type { OnnxModel } from './model.js';
import { createMessage } from './protobuf.js';
import { DataType, dataTypeCode, dimensions, isFloating, tensor } from './tensors.js';
import type { Feeds } from './types.js';

/**
 * Constants above this many bytes only lend their shapes; smaller ones may be shapes, axes and scales
 * themselves.
 */
const SHAPE_BYTES = 1024;

/** Bytes of one element; packed 4-bit numbers are never activations. */
const ELEMENT_BYTES: Readonly<Record<number, number>> = {
  [DataType.bool]: 1,
  [DataType.uint8]: 1,
  [DataType.int8]: 1,
  [DataType.float16]: 2,
  [DataType.bfloat16]: 2,
  [DataType.uint16]: 2,
  [DataType.int16]: 2,
  [DataType.float64]: 8,
  [DataType.int64]: 8,
  [DataType.uint64]: 8,
};

export function elementBytes(dataType: number): number {
  return ELEMENT_BYTES[dataType] ?? 4;
}

/** What the runtime's inference says of a tensor; symbolic names where an extent stays open. */
interface InferredTensor {
  readonly dataType: number;
  readonly shape: readonly (number | string)[];
}

/**
 * Shapes of the computed tensors and inputs of a graph at the sizes of given feeds, found without running it
 * or reading a weight. An empty shape may mean that not even the rank is known.
 *
 * ONNX Runtime infers the shapes of a copy whose inputs have fixed extents, whose weights are inputs too (so
 * that none is read or folded) and whose integer feeds are constants (so that shapes computed from them are).
 *
 * @param same pairs of tensors [a, b]: input a has the shape of the computed tensor b
 */
export async function tensorShapes(
  model: OnnxModel,
  feeds: Feeds,
  same: readonly (readonly [string, string])[] = [],
  signal?: AbortSignal,
): Promise<Map<string, readonly (number | string)[]>> {
  const tensors = await inferredTensors(model, feeds, same, signal);
  return new Map([...tensors].map(([name, { shape }]) => [name, shape]));
}

/**
 * Bytes of the tensors of a graph at the sizes of given feeds, by the same inference.
 *
 * @returns bytes by tensor name; NaN where the runtime's inference does not tell
 */
export async function tensorSizes(
  model: OnnxModel,
  feeds: Feeds,
  same: readonly (readonly [string, string])[] = [],
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const tensors = await inferredTensors(model, feeds, same, signal);
  const sizes = new Map([...tensors].map(([name, { dataType, shape }]) => [name, bytesOf(dataType, shape)]));
  for (const item of model.graph.proto.initializer)
    sizes.set(item.name, bytesOf(item.dataType, dimensions(item)));
  for (const [name, value] of Object.entries(feeds)) sizes.set(name, feedBytes(value));
  return sizes;
}

async function inferredTensors(
  model: OnnxModel,
  feeds: Feeds,
  same: readonly (readonly [string, string])[],
  signal: AbortSignal | undefined,
): Promise<Map<string, InferredTensor>> {
  const shapes = model.clone();
  const { graph } = shapes;
  const weights = graph.proto.initializer.filter(
    (item) => bytesOf(item.dataType, dimensions(item)) > SHAPE_BYTES,
  );
  const large = new Set(weights.map((item) => item.name));
  graph.proto.initializer = graph.proto.initializer.filter((item) => !large.has(item.name));
  const copied = new Set(same.map(([input]) => input));
  graph.proto.input = graph.proto.input.flatMap((value) => {
    const feed = feeds[value.name];
    if (copied.has(value.name) || large.has(value.name)) return [];
    const dataType = value.type?.tensorType?.elemType ?? DataType.float32;
    if (!feed) return [value];
    if (isFloating(dataType) || !('data' in feed)) return [valueInfo(value.name, dataType, feed.shape)];
    graph.proto.initializer.push(tensor(value.name, dataType, feed.shape, packed(feed)));
    return [];
  });
  for (const item of weights) graph.proto.input.push(valueInfo(item.name, item.dataType, dimensions(item)));
  const nodes = same.map(([input, like]) => makeNode('Identity', [like], [input]));
  graph.setNodes([...graph.nodes, ...nodes]);
  graph.sort();
  graph.proto.output = [];
  graph.proto.valueInfo = [];
  const names = graph.nodes.flatMap((node) => node.output.filter((name) => name !== ''));
  for (const name of names) graph.proto.output.push(makeOutput(name));
  graph.touch();
  const session = await Session.load(shapes.serialize(), {
    optimization: 'basic',
    // Smaller constants may lie in files, too.
    ...(model.folder === undefined ? {} : { externalDataFolder: model.folder }),
    signal,
  });
  try {
    const tensors = new Map<string, InferredTensor>();
    for (const { name, elementType, shape } of [...session.inputs, ...session.outputs]) {
      tensors.set(name, { dataType: dataTypeCode(elementType) ?? DataType.float32, shape });
    }
    return tensors;
  } finally {
    session.dispose();
  }
}

function makeOutput(name: string) {
  return createMessage('ValueInfoProto', { name });
}
function feedBytes(value: TensorValue): number {
  return bytesOf(dataTypeCode('elementType' in value ? value.elementType : 'float32') ?? 1, value.shape);
}

function bytesOf(dataType: number, shape: readonly (number | string)[]): number {
  let count = elementBytes(dataType);
  for (const extent of shape) count *= typeof extent === 'number' ? extent : Number.NaN;
  return count;
}
