import { describe, expect, test } from 'vitest';
import { toHalfArray } from '../../lib/float16.js';
import type { NodeProto } from '../../lib/onnx/protobuf.js';
import { float32Tensor, tensor } from '../../lib/onnx/tensors.js';
import {
  BATCH,
  type Fused,
  HEADS,
  inputsOf,
  LENGTH,
  microsoft,
  next,
  numbers,
  random,
  SIZE,
  tables,
} from './fused-cases.js';
import {
  analyticGradient,
  DataType,
  float,
  forward,
  int64,
  node,
  randomTensor,
  sketch,
  valuesOf,
} from './helpers.js';

describe('operators with a direct rule', () => {
  const positions = int64(
    Array.from({ length: BATCH * LENGTH }, (_, i) => (i * 2) % 9),
    [BATCH, LENGTH],
  );
  const [rows, columns, block] = [24, 64, 32];
  const bytes = (count: number) =>
    Uint8Array.from({ length: count }, () => Math.floor((next() + 1) * 128) & 255);
  const quantised = [
    tensor('w', DataType.uint8, [rows, columns / block, block / 2], bytes((rows * columns) / 2)),
    float32Tensor(
      'scales',
      numbers((rows * columns) / block).map((v) => 0.05 + 0.02 * v),
      [(rows * columns) / block],
    ),
  ];
  const zero = tensor(
    'zero',
    DataType.uint8,
    [(rows * columns) / block / 2],
    bytes((rows * columns) / block / 2),
  );
  // Three blocks a row: two bytes of zero points, the last half of which is padding.
  const odd = [
    tensor('w', DataType.uint8, [rows, 3, block / 2], bytes((rows * 3 * block) / 2)),
    float32Tensor(
      'scales',
      numbers(rows * 3).map((v) => 0.05 + 0.02 * v),
      [rows * 3],
    ),
    tensor('zero', DataType.uint8, [rows * 2], bytes(rows * 2)),
  ];
  const halfScales = tensor(
    'half',
    DataType.float16,
    [(rows * columns) / block],
    toHalfArray(Float32Array.from(numbers((rows * columns) / block), (v) => 0.05 + 0.02 * v)),
  );
  const nbits = { N: rows, K: columns, bits: 4, block_size: block, accuracy_level: 1 };
  const cases: readonly (Fused & { readonly nodes?: readonly NodeProto[] })[] = [
    {
      name: 'RotaryEmbedding (contrib)',
      node: node('RotaryEmbedding', ['x', 'p', 'cos', 'sin'], ['y'], {}, microsoft),
      feeds: { x: random(BATCH, HEADS, LENGTH, SIZE), p: positions },
      constants: tables,
    },
    {
      name: 'MatMulNBits',
      node: node('MatMulNBits', ['x', 'w', 'scales'], ['y'], nbits, microsoft),
      feeds: { x: random(BATCH, LENGTH, columns) },
      constants: quantised,
    },
    {
      name: 'MatMulNBits with zero points',
      node: node('MatMulNBits', ['x', 'w', 'scales', 'zero'], ['y'], nbits, microsoft),
      feeds: { x: random(BATCH, LENGTH, columns) },
      constants: [...quantised, zero],
    },
    {
      name: 'MatMulNBits, last block of each row padded',
      node: node('MatMulNBits', ['x', 'w', 'scales'], ['y'], { ...nbits, K: columns - 16 }, microsoft),
      feeds: { x: random(BATCH, LENGTH, columns - 16) },
      constants: quantised,
    },
    ...[3 * block, 3 * block - 16].map((K) => ({
      name: `MatMulNBits with zero points of three blocks a row, ${K} columns`,
      node: node('MatMulNBits', ['x', 'w', 'scales', 'zero'], ['y'], { ...nbits, K }, microsoft),
      feeds: { x: random(BATCH, LENGTH, K) },
      constants: odd,
    })),
    {
      name: 'MatMulNBits, scales widened from half precision',
      nodes: [node('Cast', ['half'], ['scales'], { to: DataType.float32 })],
      node: node('MatMulNBits', ['x', 'w', 'scales'], ['y'], nbits, microsoft),
      feeds: { x: random(BATCH, LENGTH, columns) },
      constants: [quantised[0]!, halfScales],
    },
    {
      name: 'MatMulNBits of 8 bits',
      node: node('MatMulNBits', ['x', 'w', 'scales'], ['y'], { ...nbits, bits: 8 }, microsoft),
      feeds: { x: random(BATCH, LENGTH, columns) },
      constants: [
        tensor('w', DataType.uint8, [rows, columns / block, block], bytes(rows * columns)),
        quantised[1]!,
      ],
    },
    {
      name: 'MatMulNBits of 2 bits with zero points',
      node: node('MatMulNBits', ['x', 'w', 'scales', 'zero'], ['y'], { ...nbits, bits: 2 }, microsoft),
      feeds: { x: random(BATCH, LENGTH, columns) },
      constants: [
        tensor('w', DataType.uint8, [rows, columns / block, block / 4], bytes((rows * columns) / 4)),
        quantised[1]!,
        tensor('zero', DataType.uint8, [rows, 1], bytes(rows)),
      ],
    },
    {
      name: 'MatMulNBits, zero points that are floats',
      node: node('MatMulNBits', ['x', 'w', 'scales', 'zero'], ['y'], nbits, microsoft),
      feeds: { x: random(BATCH, LENGTH, columns) },
      constants: [
        ...quantised,
        float32Tensor(
          'zero',
          numbers((rows * columns) / block).map((v) => 8 + v),
          [rows, columns / block],
        ),
      ],
    },
    ...[0, 1].map((quant_type) => ({
      name: `MatMulBnb4, ${quant_type === 0 ? 'FP4' : 'NF4'}`,
      node: node(
        'MatMulBnb4',
        ['x', 'w', 'scales'],
        ['y'],
        { N: rows, K: columns, block_size: block, quant_type },
        microsoft,
      ),
      feeds: { x: random(BATCH, LENGTH, columns) },
      constants: [
        tensor('w', DataType.uint8, [(rows * columns) / 2], bytes((rows * columns) / 2)),
        quantised[1]!,
      ],
    })),
  ];
  test.each(cases.map((item) => [item.name, item] as const))('%s', async (_, item) => {
    const model = sketch({
      nodes: [...(item.nodes ?? []), item.node],
      inputs: inputsOf(item.feeds),
      constants: item.constants ?? [],
    });
    const y = (await forward(model, item.feeds)).y as { shape: number[] };
    const seed = randomTensor(y.shape, next);
    const { gradient } = await analyticGradient(model, item.feeds, seed, 'x');
    // All are linear in x: the difference over a step of 1 along each of a few axes is exact but for
    // rounding.
    const x = valuesOf(item.feeds.x);
    const weighted = async (values: Float32Array) => {
      const out = valuesOf(
        (
          await forward(model, {
            ...item.feeds,
            x: float([...values], [...(item.feeds.x as { shape: number[] }).shape]),
          })
        ).y,
      );
      return out.reduce((sum, v, i) => sum + v * valuesOf(seed)[i], 0);
    };
    const base = await weighted(x);
    const scale = Math.max(...gradient.map(Math.abs));
    for (const i of [0, 7, 31, x.length - 1]) {
      const moved = x.slice();
      moved[i] = x[i] + 1;
      expect(Math.abs((await weighted(moved)) - base - gradient[i])).toBeLessThan(2e-4 * Math.max(1, scale));
    }
  });
});
