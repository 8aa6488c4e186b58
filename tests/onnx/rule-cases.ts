import { describe, expect, test } from 'vitest';
import type { NodeProto, TensorProto } from '../../lib/onnx/protobuf.js';
import type { Feeds } from '../../lib/onnx/types.js';
import {
  analyticGradient,
  DataType,
  forward,
  numericGradient,
  randomStream,
  randomTensor,
  relativeError,
  sketch,
} from './helpers.js';

export interface RuleCase {
  readonly name: string;
  readonly nodes: readonly NodeProto[];
  readonly constants?: readonly TensorProto[];
  readonly dims?: readonly number[];
  readonly opset?: number;
  /** Step of the central difference. Linear operators take a large one, where only rounding is left. */
  readonly step?: number;
  readonly inputs?: readonly (readonly [string, number, readonly number[]])[];
  readonly feeds?: Feeds;
  /** x = center + spread * random, for operators with a domain or a kink. */
  readonly center?: number;
  readonly spread?: number;
}

export const [LINEAR, SMOOTH] = [0.5, 1e-2];
export const microsoft = 'com.microsoft';

/** Numbers in [-1, 1), the same in every run. */
export function numberSource(seed: number): (count: number) => number[] {
  const next = randomStream(seed);
  return (count) => Array.from({ length: count }, next);
}

/** Every case's gradient of x by its rule against central differences. */
export function describeRules(title: string, cases: readonly RuleCase[]): void {
  describe(`${title} equal central differences`, () => {
    for (const item of cases) test(item.name, () => checkRule(item));
  });
}

async function checkRule(item: RuleCase): Promise<void> {
  const dims = item.dims ?? [3, 4, 5];
  const random = randomStream(7);
  const x = randomTensor(dims, () => (item.center ?? 0) + (item.spread ?? 1) * random());
  const model = sketch({
    nodes: item.nodes,
    inputs: [['x', DataType.float32, dims.map((_, i) => `d${i}`)], ...(item.inputs ?? [])],
    ...(item.constants ? { constants: item.constants } : {}),
    ...(item.opset ? { opset: item.opset } : {}),
  });
  const feeds = { ...item.feeds, x };
  const y = (await forward(model, feeds)).y;
  const seed = randomTensor(y?.shape ?? [], random);
  const { gradient } = await analyticGradient(model, feeds, seed, 'x');
  const numeric = await numericGradient(model, feeds, seed, 'x', item.step ?? SMOOTH);
  // Float32 forward values of order 10 carry 1e-6; divided by a step of 1e-2 that is 1e-4, by 1e-3 it is
  // 1e-3, and the third-order term of the difference adds about as much.
  expect(relativeError(gradient, numeric)).toBeLessThan((item.step ?? SMOOTH) >= 0.5 ? 1e-5 : 3e-3);
}
