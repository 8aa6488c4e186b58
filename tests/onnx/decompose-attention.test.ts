import { expect, test } from 'vitest';
import { decompose } from '../../lib/onnx/decompose/index.js';
import type { NodeProto } from '../../lib/onnx/protobuf.js';
import { float32Tensor } from '../../lib/onnx/tensors.js';
import {
  BATCH,
  describeFused,
  GROUPS,
  HEADS,
  LENGTH,
  microsoft,
  numbers,
  random,
  SIZE,
  tables,
  WIDTH,
} from './fused-cases.js';
import { boolean, int32, node, sketch } from './helpers.js';

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

describeFused('attention operators', [
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
]);

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
