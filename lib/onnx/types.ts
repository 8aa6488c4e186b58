import { FsynError } from '../errors.js';
import { Session, type TensorInfo, type TensorValue } from '../inference/session.js';
import { toNdArray } from '../inference/tensor.js';
import { EXPORTED, isCache } from './exported.js';
import { type Dimension, declaredShape, makeNode, type OnnxGraph } from './graph.js';
import type { OnnxModel } from './model.js';
import { DataType, dataTypeCode, dataTypeName, dimensions } from './tensors.js';

/** What is known about a tensor. */
export interface TensorType {
  /** Element type, a `DataType` code. */
  readonly dataType: number;
  /** Sizes, symbolic names or '' per axis; absent when not even the rank is known. */
  readonly shape?: readonly Dimension[];
  /** Sizes in the probe run. */
  readonly probe?: readonly number[];
}

export type TensorTypes = ReadonlyMap<string, TensorType>;

export type Feeds = Readonly<Record<string, TensorValue>>;

/** Whole numbers as an int64 vector: what graphs take as positions, tokens and indices. */
export function int64Feed(values: ArrayLike<number>): TensorValue {
  return toNdArray(BigInt64Array.from(values, BigInt), [values.length]);
}

/**
 * Element type, rank and as much of the shape of every tensor as ONNX Runtime's shape inference finds.
 *
 * All node outputs are declared graph outputs and the session's metadata is read. Inference gives up behind
 * some operators, and reports an unknown rank like a scalar's; so one run with `probe` fetches the shape of
 * every tensor. Distinct sizes above 1 in the probe let the gradient of a broadcast know its axes beforehand.
 *
 * @param probe inputs of one cheap run; without it ranks may stay unknown
 */
export async function discoverTypes(
  model: OnnxModel,
  probe?: Feeds,
  signal?: AbortSignal,
): Promise<TensorTypes> {
  const probed = model.clone();
  const { graph } = probed;
  const shapes = new Map<string, string>();
  for (const node of [...graph.nodes]) {
    for (const output of node.output) {
      if (!output) continue;
      graph.addOutput(output);
      const shape = graph.uniqueName('probe/shape');
      graph.proto.node.push(makeNode('Shape', [output], [shape]));
      shapes.set(output, shape);
    }
  }
  for (const shape of shapes.values()) graph.addOutput(shape);
  graph.touch();
  const session = await openSession(probed, 'disable', signal);
  try {
    const types = declaredTypes(model, session);
    if (probe) await addProbe(types, session, probe, shapes, signal);
    return types;
  } finally {
    session.dispose();
  }
}

/**
 * Opens a session on an edited graph, its weights read from the files that it refers to. Edited graphs of one
 * model take turns more than they run together, and share the memory of their runs.
 */
export function openSession(
  model: OnnxModel,
  optimization: 'disable' | 'basic' | 'extended' | 'all' = 'all',
  signal?: AbortSignal,
  threads = 1,
  lowMemory = false,
): Promise<Session> {
  return Session.load(model.serialize(), {
    optimization,
    threads,
    lowMemory,
    sharedArena: !lowMemory,
    ...(model.folder === undefined ? {} : { externalDataFolder: model.folder }),
    signal,
  });
}

function declaredTypes(model: OnnxModel, session: Session): Map<string, TensorType> {
  const types = new Map<string, TensorType>();
  for (const info of [...session.inputs, ...session.outputs]) {
    const dataType = dataTypeCode(info.elementType);
    if (dataType === undefined) continue;
    // An empty shape may mean a scalar or an unknown rank; only the probe can tell.
    types.set(info.name, info.shape.length > 0 ? { dataType, shape: info.shape } : { dataType });
  }
  for (const value of model.graph.proto.input) {
    const shape = declaredShape(value);
    const known = types.get(value.name);
    if (shape && known) types.set(value.name, { ...known, shape });
  }
  for (const item of model.graph.proto.initializer) {
    types.set(item.name, { dataType: item.dataType, shape: dimensions(item), probe: dimensions(item) });
  }
  for (const node of model.graph.nodes) {
    if (node.opType !== 'Constant') continue;
    const name = node.output[0];
    const shape = model.graph.constantShape(name);
    const known = types.get(name);
    if (shape && known) types.set(name, { ...known, shape, probe: shape });
  }
  return types;
}

async function addProbe(
  types: Map<string, TensorType>,
  session: Session,
  probe: Feeds,
  shapes: ReadonlyMap<string, string>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = { outputs: [...shapes.values()], signal };
  const seen = await session.run(probe, options);
  for (const [tensor, shape] of shapes) {
    const known = types.get(tensor);
    const value = seen[shape];
    if (!known || !value || !('data' in value)) continue;
    const sizes = Array.from(value.data as ArrayLike<number | bigint>, Number);
    const agrees = known.shape?.length === sizes.length;
    types.set(tensor, { ...known, shape: agrees ? known.shape : sizes.map(() => ''), probe: sizes });
  }
  for (const [name, value] of Object.entries(probe)) {
    const known = types.get(name);
    if (known) types.set(name, { ...known, shape: known.shape ?? [], probe: value.shape });
  }
}

/**
 * Sizes for the open dimensions of a probe: distinct and above 1, so that equal axes are not taken for
 * broadcast ones.
 */
const PROBE = { batch: 2, sequence: 5, past: 3, total: 8 };
/**
 * Elements of an input that is made up to try a graph: four times a key/value cache of 4096 positions, 32
 * heads and 128 channels.
 */
const MOST_MADE_UP = 2 ** 26;
const OTHER_SIZES = [7, 11, 13, 17, 19, 23];

/** The roles of open axes in the inputs of a decoder, as exports for generation name them. */
function decoderAxis(name: string, axis: number): number | undefined {
  if (isCache(name)) return axis === 0 ? PROBE.batch : axis === 2 ? PROBE.past : undefined;
  if (name === EXPORTED.mask) return axis === 0 ? PROBE.batch : axis === 1 ? PROBE.total : undefined;
  if (name === EXPORTED.embeddings || name === EXPORTED.tokens) {
    return axis === 0 ? PROBE.batch : axis === 1 ? PROBE.sequence : undefined;
  }
  return undefined;
}

function syntheticFeeds(inputs: readonly TensorInfo[]): Record<string, TensorValue> {
  const hasCache = inputs.some(({ name }) => isCache(name));
  const sizes = new Map<string, number>();
  let others = 0;
  const sizeOf = (input: TensorInfo, axis: number): number => {
    const declared = input.shape[axis] as number | string;
    if (typeof declared === 'number') return declared;
    const known = declared === '' ? undefined : sizes.get(declared);
    if (known !== undefined) return known;
    const role = decoderAxis(input.name, axis);
    const size = role === PROBE.total && !hasCache ? PROBE.sequence : role;
    const other = () => (/batch/.test(declared) ? PROBE.batch : OTHER_SIZES[others++ % OTHER_SIZES.length]);
    const chosen = (size ?? other()) as number;
    if (declared !== '') sizes.set(declared, chosen);
    return chosen;
  };
  const feeds: Record<string, TensorValue> = {};
  for (const input of inputs) {
    const shape = input.shape.map((_, axis) => sizeOf(input, axis));
    const count = shape.reduce((a, b) => a * b, 1);
    if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0) || count > MOST_MADE_UP) {
      const message = `Input ${input.name} declares the shape [${input.shape.join(', ')}]; expected sizes >= 0 of at most ${MOST_MADE_UP} elements.`;
      throw new FsynError('MODEL_CONTRACT', message);
    }
    feeds[input.name] = toNdArray(filled(input, count), shape);
  }
  return feeds;
}

/**
 * Inputs that only serve to find ranks: every open dimension gets a size of its own, masks are one, all else
 * zero. The inputs of a decoder fit together: the mask covers the cache and the new tokens. Inputs of no
 * declared shape are left out.
 */
export function madeUpFeeds(graph: OnnxGraph): Record<string, TensorValue> {
  const inputs = graph.proto.input.flatMap((value) => {
    const shape = declaredShape(value);
    const elementType = dataTypeName(value.type?.tensorType?.elemType ?? 0);
    return shape && !graph.initializers.has(value.name) ? [{ name: value.name, elementType, shape }] : [];
  });
  return syntheticFeeds(inputs as TensorInfo[]);
}

function filled(input: TensorInfo, count: number) {
  const value = /mask/.test(input.name) ? 1 : 0;
  switch (dataTypeCode(input.elementType)) {
    case DataType.float32:
      return new Float32Array(count).fill(value);
    case DataType.float16:
      return new Uint16Array(count).fill(value ? 0x3c00 : 0);
    case DataType.int64:
      return new BigInt64Array(count).fill(BigInt(value));
    case DataType.int32:
      return new Int32Array(count).fill(value);
    case DataType.bool:
      return new Uint8Array(count).fill(value);
    default:
      throw new FsynError('UNSUPPORTED_MODEL', `Input ${input.name} has element type ${input.elementType}.`);
  }
}
