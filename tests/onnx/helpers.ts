import { readFileSync } from 'node:fs';
import ndarray from 'ndarray';
import type { TensorValue } from '../../lib/inference/session.js';
import { appendBackward, gradientName } from '../../lib/onnx/autodiff/backward.js';
import type { Mode } from '../../lib/onnx/autodiff/rule.js';
import { type Dimension, makeNode, type NodeOptions, valueInfo } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { createMessage, type NodeProto, serializeModel, type TensorProto } from '../../lib/onnx/protobuf.js';
import { DataType } from '../../lib/onnx/tensors.js';
import { discoverTypes, type Feeds, openSession } from '../../lib/onnx/types.js';

/** A reproducible stream of numbers in [-1, 1). */
export function randomStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

export function randomTensor(dims: readonly number[], next: () => number): TensorValue {
  return ndarray(Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, next), [
    ...dims,
  ]) as TensorValue;
}

export function float(values: readonly number[], dims: readonly number[]): TensorValue {
  return ndarray(Float32Array.from(values), [...dims]) as TensorValue;
}

export function int64(values: readonly number[], dims: readonly number[] = [values.length]): TensorValue {
  return ndarray(BigInt64Array.from(values, BigInt), [...dims]) as TensorValue;
}

export function int32(values: readonly number[], dims: readonly number[] = [values.length]): TensorValue {
  return ndarray(Int32Array.from(values), [...dims]) as TensorValue;
}

export function boolean(values: readonly boolean[], dims: readonly number[]): TensorValue {
  return ndarray(Uint8Array.from(values, Number), [...dims]) as TensorValue;
}

export function valuesOf(tensor: TensorValue | undefined): Float32Array {
  if (!tensor || !('data' in tensor) || !(tensor.data instanceof Float32Array))
    throw new Error('not a float32 array');
  return tensor.data;
}

/** max |a - b| / max |b|: the error on the scale of the whole tensor. NaN when the lengths differ. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.NaN;
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i] - b[i]);
    if (!(d <= difference)) difference = d;
    scale = Math.max(scale, Math.abs(b[i]));
  }
  return difference / scale;
}

export interface Sketch {
  readonly nodes: readonly NodeProto[];
  readonly inputs?: readonly (readonly [string, number, readonly Dimension[]])[];
  readonly constants?: readonly TensorProto[];
  readonly outputs?: readonly string[];
  readonly opset?: number;
}

export function sketch({
  nodes,
  inputs = [],
  constants = [],
  outputs = ['y'],
  opset = 17,
}: Sketch): OnnxModel {
  const model = createMessage('ModelProto', {
    irVersion: opset >= 21 ? 10n : 8n,
    opsetImport: [
      createMessage('OperatorSetIdProto', { domain: '', version: BigInt(opset) }),
      createMessage('OperatorSetIdProto', { domain: 'com.microsoft', version: 1n }),
    ],
    graph: createMessage('GraphProto', {
      name: 'sketch',
      node: [...nodes],
      initializer: [...constants],
      input: inputs.map(([name, type, shape]) => valueInfo(name, type, shape)),
      output: outputs.map((name) => createMessage('ValueInfoProto', { name })),
    }),
  });
  return OnnxModel.fromBytes(serializeModel(model));
}

export function node(
  opType: string,
  input: string[],
  output: string[],
  attributes: NodeOptions['attributes'] = {},
  domain = '',
): NodeProto {
  return makeNode(opType, input, output, { attributes, domain });
}

/** The gradient of sum(seed * y) with respect to x by the appended backward graph. */
export async function analyticGradient(
  model: OnnxModel,
  feeds: Feeds,
  seed: TensorValue,
  wrt: string,
  options: { mode?: Mode; output?: string; probe?: Feeds | undefined } = {},
): Promise<{ gradient: Float32Array; dynamicReductions: number; operators: readonly string[] }> {
  const output = options.output ?? 'y';
  const types = await discoverTypes(model, 'probe' in options ? options.probe : feeds);
  const extended = model.clone();
  const statistics = appendBackward(extended, {
    mode: options.mode ?? 'grad',
    output,
    seed: 'seed',
    wrt: [wrt],
    types,
  });
  const session = await openSession(extended);
  try {
    const result = await session.run({ ...feeds, seed }, { outputs: [gradientName(wrt)] });
    return { gradient: valuesOf(result[gradientName(wrt)]), ...statistics };
  } finally {
    session.dispose();
  }
}

/** Central differences of sum(seed * y) with respect to every element of x, summed in float64. */
export async function numericGradient(
  model: OnnxModel,
  feeds: Feeds,
  seed: TensorValue,
  wrt: string,
  step: number,
  output = 'y',
): Promise<Float64Array> {
  const session = await openSession(model);
  const x = valuesOf(feeds[wrt]);
  const dims = [...(feeds[wrt] as TensorValue).shape];
  const weights = valuesOf(seed);
  const at = async (values: Float32Array): Promise<number> => {
    const result = await session.run(
      { ...feeds, [wrt]: ndarray(values, dims) as TensorValue },
      { outputs: [output] },
    );
    return valuesOf(result[output]).reduce((sum, v, i) => sum + v * (weights[i] as number), 0);
  };
  const gradient = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const up = x.slice();
    const down = x.slice();
    up[i] = x[i] + step;
    down[i] = x[i] - step;
    gradient[i] = ((await at(up)) - (await at(down))) / (up[i] - down[i]);
  }
  session.dispose();
  return gradient;
}

export async function forward(model: OnnxModel, feeds: Feeds, outputs: readonly string[] = ['y']) {
  const session = await openSession(model);
  try {
    return await session.run(feeds, { outputs });
  } finally {
    session.dispose();
  }
}

interface GoldenTensor {
  readonly dtype: string;
  readonly dims: readonly number[];
  readonly data: string;
}

/** Reads a golden file: base64 float32 and int64 tensors by name. */
export function readGolden(path: string): Record<string, TensorValue> {
  const raw = JSON.parse(readFileSync(path, 'utf8')) as Record<string, GoldenTensor>;
  return Object.fromEntries(
    Object.entries(raw).map(([name, item]) => {
      const bytes = Uint8Array.from(Buffer.from(item.data, 'base64'));
      const data = item.dtype === 'int64' ? new BigInt64Array(bytes.buffer) : new Float32Array(bytes.buffer);
      return [name, ndarray(data as Float32Array, [...item.dims]) as TensorValue];
    }),
  );
}

export { DataType };
