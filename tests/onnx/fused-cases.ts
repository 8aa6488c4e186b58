import { describe, expect, test } from 'vitest';
import { decompose } from '../../lib/onnx/decompose/index.js';
import type { Dimension } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import type { NodeProto, TensorProto } from '../../lib/onnx/protobuf.js';
import { operatorName } from '../../lib/onnx/queries.js';
import { float32Tensor } from '../../lib/onnx/tensors.js';
import { discoverTypes, type Feeds } from '../../lib/onnx/types.js';
import {
  analyticGradient,
  DataType,
  float,
  forward,
  randomStream,
  randomTensor,
  relativeError,
  sketch,
  valuesOf,
} from './helpers.js';

export const microsoft = 'com.microsoft';
export const [BATCH, LENGTH, HEADS, GROUPS, SIZE] = [2, 6, 4, 2, 16];
export const WIDTH = HEADS * SIZE;
export const next = randomStream(5);
export const numbers = (count: number): number[] => Array.from({ length: count }, next);
export const random = (...dims: number[]) => randomTensor(dims, next);

/** cos or sin of position / 10000^(2i / size), [64, half]. */
export function table(name: string, f: (x: number) => number, half = SIZE / 2): TensorProto {
  const values = Array.from({ length: 64 * half }, (_, i) =>
    f(Math.floor(i / half) / 10000 ** ((i % half) / half)),
  );
  return float32Tensor(name, values, [64, half]);
}

export const tables = [table('cos', Math.cos), table('sin', Math.sin)];

export interface Fused {
  readonly name: string;
  readonly node: NodeProto;
  readonly feeds: Feeds;
  readonly constants?: readonly TensorProto[];
  readonly outputs?: readonly string[];
  /** Inputs whose gradient is compared with a difference of the fused kernel. */
  readonly wrt?: readonly string[];
  readonly opset?: number;
}

export function inputsOf(feeds: Feeds): [string, number, Dimension[]][] {
  return Object.entries(feeds).map(([name, value]) => {
    const data = 'data' in value ? value.data : undefined;
    const type =
      data instanceof Float32Array
        ? DataType.float32
        : data instanceof Int32Array
          ? DataType.int32
          : data instanceof Uint8Array
            ? DataType.bool
            : DataType.int64;
    return [name, type, [...value.shape]];
  });
}

/**
 * Every fused operator against its decomposition: values, and gradients against differences of the fused
 * kernel.
 */
export function describeFused(title: string, cases: readonly Fused[]): void {
  describe(`${title} equal the fused kernels`, () => {
    for (const item of cases) test(item.name, () => checkFused(item));
  });
}

async function checkFused(item: Fused): Promise<void> {
  const outputs = item.outputs ?? ['y'];
  const model = sketch({
    nodes: [item.node],
    inputs: inputsOf(item.feeds),
    constants: item.constants ?? [],
    outputs,
    opset: item.opset ?? 17,
  });
  const whole = await forward(model, item.feeds, outputs);
  const parts = OnnxModel.fromBytes(model.serialize());
  decompose(parts, await discoverTypes(model, item.feeds));
  const name = operatorName(item.node.opType, item.node.domain);
  // FastGelu stays, without its bias.
  if (!name.endsWith('FastGelu')) {
    expect(parts.graph.nodes.map((n) => operatorName(n.opType, n.domain))).not.toContain(name);
  }
  const apart = await forward(parts, item.feeds, outputs);
  for (const output of outputs) {
    // Kernels approximate exp, tanh and erf and sum in another order: a few times 1e-6 of the largest value.
    expect(relativeError(valuesOf(apart[output]), valuesOf(whole[output]))).toBeLessThan(2e-5);
  }
  for (const wrt of item.wrt ?? []) {
    const seed = randomTensor((whole.y as { shape: number[] }).shape, next);
    const { gradient } = await analyticGradient(parts, item.feeds, seed, wrt);
    const direction = valuesOf(random(gradient.length));
    const at = async (step: number) => {
      const moved = valuesOf(item.feeds[wrt]).map((v, i) => v + step * (direction[i] as number));
      const feeds = {
        ...item.feeds,
        [wrt]: float([...moved], [...(item.feeds[wrt] as { shape: number[] }).shape]),
      };
      const y = valuesOf((await forward(model, feeds)).y);
      return y.reduce((sum, v, i) => sum + v * valuesOf(seed)[i], 0);
    };
    const numeric = ((await at(5e-3)) - (await at(-5e-3))) / 1e-2;
    const analytic = gradient.reduce((sum, g, i) => sum + g * direction[i], 0);
    const scale = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
    // Rounding of about 1e-6 per output over a step of 1e-2, and the cubic term of the difference.
    expect(Math.abs(analytic - numeric)).toBeLessThan(5e-3 * scale);
  }
}
