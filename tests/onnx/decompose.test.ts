import { describe, expect, test } from 'vitest';
import { decompose } from '../../lib/onnx/decompose/index.js';
import type { Dimension } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import type { NodeProto, TensorProto } from '../../lib/onnx/protobuf.js';
import { operatorName } from '../../lib/onnx/queries.js';
import { float32Tensor, tensor } from '../../lib/onnx/tensors.js';
import { discoverTypes, type Feeds } from '../../lib/onnx/types.js';
import {
  analyticGradient,
  boolean,
  DataType,
  float,
  forward,
  int32,
  int64,
  node,
  randomStream,
  randomTensor,
  relativeError,
  sketch,
  valuesOf,
} from './helpers.js';

const microsoft = 'com.microsoft';
const [BATCH, LENGTH, HEADS, GROUPS, SIZE] = [2, 6, 4, 2, 16];
const WIDTH = HEADS * SIZE;
const next = randomStream(5);
const numbers = (count: number): number[] => Array.from({ length: count }, next);
const random = (...dims: number[]) => randomTensor(dims, next);

/** cos or sin of position / 10000^(2i / size), [64, half]. */
function table(name: string, f: (x: number) => number, half = SIZE / 2): TensorProto {
  const values = Array.from({ length: 64 * half }, (_, i) =>
    f(Math.floor(i / half) / 10000 ** ((i % half) / half)),
  );
  return float32Tensor(name, values, [64, half]);
}

const tables = [table('cos', Math.cos), table('sin', Math.sin)];

interface Fused {
  readonly name: string;
  readonly node: NodeProto;
  readonly feeds: Feeds;
  readonly constants?: readonly TensorProto[];
  readonly outputs?: readonly string[];
  /** Inputs whose gradient is compared with a difference of the fused kernel. */
  readonly wrt?: readonly string[];
  readonly opset?: number;
}

function inputsOf(feeds: Feeds): [string, number, Dimension[]][] {
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

function groupQuery(
  inputs: string[],
  attributes: Record<string, number | { float: number }> = {},
): NodeProto {
  const values = { num_heads: HEADS, kv_num_heads: GROUPS, ...attributes };
  return node('GroupQueryAttention', inputs, ['y', 'present_key', 'present_value'], values, microsoft);
}

const projected = (batch = BATCH) => ({
  q: random(batch, LENGTH, WIDTH),
  k: random(batch, LENGTH, GROUPS * SIZE),
  v: random(batch, LENGTH, GROUPS * SIZE),
});
const lengths = (batch: number, past = 0) => ({
  last: int32(new Array(batch).fill(past + LENGTH - 1)),
  total: int32([past + LENGTH], []),
});
const past = (batch: number, length: number) => ({
  pk: random(batch, GROUPS, length, SIZE),
  pv: random(batch, GROUPS, length, SIZE),
});
const none = ['', ''];
const presents = ['y', 'present_key', 'present_value'];

const fused: readonly Fused[] = [
  {
    name: 'GroupQueryAttention, rotary',
    node: groupQuery(['q', 'k', 'v', ...none, 'last', 'total', 'cos', 'sin'], { do_rotary: 1 }),
    feeds: { ...projected(), ...lengths(BATCH) },
    constants: tables,
    outputs: presents,
    wrt: ['q', 'k', 'v'],
  },
  {
    name: 'GroupQueryAttention, interleaved rotary',
    node: groupQuery(['q', 'k', 'v', ...none, 'last', 'total', 'cos', 'sin'], {
      do_rotary: 1,
      rotary_interleaved: 1,
    }),
    feeds: { ...projected(), ...lengths(BATCH) },
    constants: tables,
    outputs: presents,
  },
  {
    name: 'GroupQueryAttention, window and softcap',
    node: groupQuery(['q', 'k', 'v', ...none, 'last', 'total'], {
      local_window_size: 3,
      softcap: { float: 5 },
    }),
    feeds: { ...projected(), ...lengths(BATCH) },
    outputs: ['y'],
    wrt: ['q'],
  },
  {
    name: 'GroupQueryAttention with a past',
    node: groupQuery(['q', 'k', 'v', 'pk', 'pv', 'last', 'total', 'cos', 'sin'], { do_rotary: 1 }),
    feeds: { ...projected(1), ...past(1, 5), ...lengths(1, 5) },
    constants: tables,
    outputs: presents,
    wrt: ['q', 'k'],
  },
  {
    name: 'GroupQueryAttention, packed',
    node: groupQuery(['qkv', ...none, ...none, 'last', 'total']),
    feeds: { qkv: random(BATCH, LENGTH, WIDTH + 2 * GROUPS * SIZE), ...lengths(BATCH) },
    outputs: presents,
    wrt: ['qkv'],
  },
  {
    name: 'GroupQueryAttention, attention bias and scale',
    node: groupQuery(['q', 'k', 'v', ...none, 'last', 'total', ...none, '', 'bias'], {
      scale: { float: 0.3 },
    }),
    feeds: { ...projected(), ...lengths(BATCH), bias: random(BATCH, 1, LENGTH, LENGTH) },
    outputs: ['y'],
    wrt: ['v'],
  },
  {
    name: 'GroupQueryAttention, smooth softmax',
    node: groupQuery(['q', 'k', 'v', ...none, 'last', 'total'], { smooth_softmax: 1 }),
    feeds: { ...projected(), ...lengths(BATCH) },
    outputs: ['y'],
    wrt: ['k'],
  },
  {
    name: 'GroupQueryAttention, head sink',
    node: groupQuery(['q', 'k', 'v', ...none, 'last', 'total', ...none, '', '', 'sink']),
    feeds: { ...projected(), ...lengths(BATCH) },
    constants: [float32Tensor('sink', numbers(HEADS), [HEADS])],
    outputs: ['y'],
  },
  {
    name: 'MultiHeadAttention, bias, padding, attention bias, past',
    node: node(
      'MultiHeadAttention',
      ['q', 'k', 'v', 'b', 'pad', 'ab', 'pk', 'pv'],
      presents,
      { num_heads: HEADS },
      microsoft,
    ),
    feeds: {
      q: random(BATCH, LENGTH, WIDTH),
      k: random(BATCH, LENGTH, WIDTH),
      v: random(BATCH, LENGTH, WIDTH),
      pad: int32(
        Array.from({ length: BATCH * (LENGTH + 3) }, (_, i) => (i === 4 ? 0 : 1)),
        [BATCH, LENGTH + 3],
      ),
      ab: random(BATCH, HEADS, LENGTH, LENGTH + 3),
      pk: random(BATCH, HEADS, 3, SIZE),
      pv: random(BATCH, HEADS, 3, SIZE),
    },
    constants: [float32Tensor('b', numbers(3 * WIDTH), [3 * WIDTH])],
    outputs: presents,
    wrt: ['q', 'k', 'v'],
  },
  {
    name: 'MultiHeadAttention, unidirectional',
    node: node(
      'MultiHeadAttention',
      ['q', 'k', 'v'],
      ['y'],
      { num_heads: HEADS, unidirectional: 1 },
      microsoft,
    ),
    feeds: {
      q: random(BATCH, LENGTH, WIDTH),
      k: random(BATCH, LENGTH, WIDTH),
      v: random(BATCH, LENGTH, WIDTH),
    },
    wrt: ['k'],
  },
  {
    name: 'Attention (contrib), mask',
    node: node('Attention', ['x', 'w', 'b', 'mask'], ['y'], { num_heads: HEADS }, microsoft),
    feeds: {
      x: random(BATCH, LENGTH, WIDTH),
      mask: int32(
        Array.from({ length: BATCH * LENGTH }, (_, i) => (i === 10 ? 0 : 1)),
        [BATCH, LENGTH],
      ),
    },
    constants: [
      float32Tensor(
        'w',
        numbers(WIDTH * 3 * WIDTH).map((v) => v / 5),
        [WIDTH, 3 * WIDTH],
      ),
      float32Tensor('b', numbers(3 * WIDTH), [3 * WIDTH]),
    ],
    wrt: ['x'],
  },
  {
    name: 'SkipSimplifiedLayerNormalization',
    node: node(
      'SkipSimplifiedLayerNormalization',
      ['x', 's', 'g'],
      ['y', '', '', 'sum'],
      { epsilon: { float: 1e-6 } },
      microsoft,
    ),
    feeds: { x: random(BATCH, LENGTH, 64), s: random(BATCH, LENGTH, 64) },
    constants: [float32Tensor('g', numbers(64), [64])],
    outputs: ['y', 'sum'],
    wrt: ['x', 's'],
  },
  {
    name: 'SkipLayerNormalization with bias',
    node: node(
      'SkipLayerNormalization',
      ['x', 's', 'g', 'b', 'bias'],
      ['y', '', '', 'sum'],
      { epsilon: { float: 1e-6 } },
      microsoft,
    ),
    feeds: { x: random(BATCH, LENGTH, 64), s: random(BATCH, LENGTH, 64) },
    constants: ['g', 'b', 'bias'].map((name) => float32Tensor(name, numbers(64), [64])),
    outputs: ['y', 'sum'],
    wrt: ['x'],
  },
  {
    name: 'BiasGelu',
    node: node('BiasGelu', ['x', 'b'], ['y'], {}, microsoft),
    feeds: { x: random(BATCH, 64) },
    constants: [float32Tensor('b', numbers(64), [64])],
    wrt: ['x'],
  },
  {
    name: 'FastGelu with bias',
    node: node('FastGelu', ['x', 'b'], ['y'], {}, microsoft),
    feeds: { x: random(BATCH, 64) },
    constants: [float32Tensor('b', numbers(64), [64])],
    wrt: ['x'],
  },
  {
    name: 'RMSNormalization (opset 23)',
    node: node('RMSNormalization', ['x', 'g'], ['y'], { axis: -1 }),
    feeds: { x: random(BATCH, LENGTH, 64) },
    constants: [float32Tensor('g', numbers(64), [64])],
    wrt: ['x'],
    opset: 23,
  },
  {
    name: 'RotaryEmbedding (opset 23), partial',
    node: node('RotaryEmbedding', ['x', 'c', 's', 'pos'], ['y'], { rotary_embedding_dim: 8 }),
    feeds: {
      x: random(BATCH, HEADS, LENGTH, SIZE),
      pos: int64(
        Array.from({ length: BATCH * LENGTH }, (_, i) => (i * 3) % 7),
        [BATCH, LENGTH],
      ),
    },
    constants: [table('c', Math.cos, 4), table('s', Math.sin, 4)],
    wrt: ['x'],
    opset: 23,
  },
  {
    name: 'Attention (opset 23), grouped, causal',
    node: node('Attention', ['q', 'k', 'v'], ['y'], { is_causal: 1 }),
    feeds: {
      q: random(BATCH, HEADS, LENGTH, SIZE),
      k: random(BATCH, GROUPS, LENGTH, SIZE),
      v: random(BATCH, GROUPS, LENGTH, SIZE),
    },
    wrt: ['q', 'k', 'v'],
    opset: 23,
  },
  {
    name: 'Attention (opset 23), boolean mask, three axes',
    node: node('Attention', ['q', 'k', 'v', 'm'], ['y'], { q_num_heads: HEADS, kv_num_heads: GROUPS }),
    feeds: {
      ...projected(),
      m: boolean(
        Array.from({ length: LENGTH * LENGTH }, (_, i) => i % 5 !== 1),
        [LENGTH, LENGTH],
      ),
    },
    wrt: ['q'],
    opset: 23,
  },
];

describe('decompositions equal the fused kernels', () => {
  for (const item of fused) {
    test(item.name, async () => {
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
          return y.reduce((sum, v, i) => sum + v * (valuesOf(seed)[i] as number), 0);
        };
        const numeric = ((await at(5e-3)) - (await at(-5e-3))) / 1e-2;
        const analytic = gradient.reduce((sum, g, i) => sum + g * (direction[i] as number), 0);
        const scale = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
        // Rounding of about 1e-6 per output over a step of 1e-2, and the cubic term of the difference.
        expect(Math.abs(analytic - numeric)).toBeLessThan(5e-3 * scale);
      }
    });
  }

  test('a variant without an equivalent is refused by node', () => {
    const model = sketch({
      nodes: [
        node(
          'MultiHeadAttention',
          ['q', 'k', 'v', '', '', '', 'p', 'p'],
          ['y'],
          { num_heads: 2, unidirectional: 1 },
          microsoft,
        ),
      ],
    });
    expect(() => decompose(model)).toThrow(
      /Cannot differentiate com\.microsoft::MultiHeadAttention \(node "y"\)/,
    );
  });
});

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
  ];
  test.each(cases.map((item) => [item.name, item] as const))('%s', async (_, item) => {
    const model = sketch({
      nodes: [item.node],
      inputs: inputsOf(item.feeds),
      constants: item.constants ?? [],
    });
    const y = (await forward(model, item.feeds)).y as { shape: number[] };
    const seed = randomTensor(y.shape, next);
    const { gradient } = await analyticGradient(model, item.feeds, seed, 'x');
    // All three are linear in x: the difference over a step of 1 along each of a few axes is exact but for rounding.
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
      return out.reduce((sum, v, i) => sum + v * (valuesOf(seed)[i] as number), 0);
    };
    const base = await weighted(x);
    const scale = Math.max(...gradient.map(Math.abs));
    for (const i of [0, 7, 31, x.length - 1]) {
      const moved = x.slice();
      moved[i] = (x[i] as number) + 1;
      expect(Math.abs((await weighted(moved)) - base - (gradient[i] as number))).toBeLessThan(
        2e-4 * Math.max(1, scale),
      );
    }
  });
});
