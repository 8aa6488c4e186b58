import { floatAttribute, intAttribute } from '../attributes.js';
import { unsupported } from '../autodiff/builder.js';
import type { NodeProto } from '../protobuf.js';
import { DataType } from '../tensors.js';
import type { TensorTypes } from '../types.js';
import type { DecompositionBuilder } from './builder.js';

/** The most negative float32: exp of it is 0, and adding it to a score does not make infinities. */
const HIDDEN = -3.4028234663852886e38;
/** What ONNX Runtime adds where a padding mask is 0. */
const PADDED = -10000;

interface ScaledDotProduct {
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly biases: readonly string[];
  /** 0 means 1 / sqrt(head size). */
  readonly scale: number;
  readonly softcap?: number;
  /** Per-head logit of attending to nothing, shape [heads]. */
  readonly sink?: string | undefined;
}

/** softmax(scale * Q K^T + biases) V on [batch, heads, sequence, size] tensors. */
export function attend(builder: DecompositionBuilder, part: ScaledDotProduct): string {
  const { query, key, value, biases, softcap = 0 } = part;
  const root = () =>
    builder.op('Sqrt', [builder.op('Cast', [builder.dimension(query, 3)], { to: DataType.float32 })]);
  const scaled = part.scale
    ? builder.op('Mul', [query, builder.float(part.scale)])
    : builder.op('Div', [query, root()]);
  let scores = builder.op('MatMul', [scaled, builder.op('Transpose', [key], { perm: [0, 1, 3, 2] })]);
  if (softcap) {
    const cap = builder.float(softcap);
    scores = builder.op('Mul', [builder.op('Tanh', [builder.op('Div', [scores, cap])]), cap]);
  }
  for (const bias of biases) scores = builder.op('Add', [scores, bias]);
  return builder.op('MatMul', [probabilities(builder, scores, part.sink), value]);
}

function probabilities(builder: DecompositionBuilder, scores: string, sink: string | undefined): string {
  if (!sink) return builder.op('Softmax', [scores], { axis: -1 });
  const size = (axis: number) => builder.dimension(scores, axis);
  const column = builder.op('Concat', [size(0), size(1), size(2), builder.int64(1)], { axis: 0 });
  const shaped = builder.op('Reshape', [sink, builder.int64(1, -1, 1, 1)]);
  const extended = builder.op('Concat', [scores, builder.op('Expand', [shaped, column])], { axis: 3 });
  const softmax = builder.op('Softmax', [extended], { axis: -1 });
  return builder.op('Slice', [softmax, builder.int64(0), builder.int64(-1), builder.int64(3)]);
}

/** 0 where the key may be seen, the most negative number elsewhere. */
export function visibilityBias(builder: DecompositionBuilder, visible: string): string {
  return builder.op('Where', [visible, builder.float(0), builder.float(HIDDEN)]);
}

/** [1, queries, keys]: whether key j is not behind query i, both counted from the start of the cache. */
export function causal(builder: DecompositionBuilder, positions: string, keys: string, window = -1): string {
  const row = builder.unsqueeze(builder.range(keys), 0);
  const column = builder.unsqueeze(positions, 1);
  let visible = builder.op('LessOrEqual', [row, column]);
  if (window > 0) {
    const oldest = builder.op('Sub', [column, builder.int64(window)]);
    visible = builder.op('And', [visible, builder.op('Greater', [row, oldest])]);
  }
  return builder.unsqueeze(visible, 0);
}

function paddingBias(builder: DecompositionBuilder, mask: string): string {
  const hidden = builder.op('Equal', [builder.toInt64(mask), builder.int64(0)]);
  return builder.unsqueeze(builder.op('Where', [hidden, builder.float(PADDED), builder.float(0)]), 1, 2);
}

/** Appends the new keys (or values) to the cache and names the result as the node's output. */
export function appendToCache(
  builder: DecompositionBuilder,
  past: string | undefined,
  x: string,
  output: string | undefined,
): string {
  const all = past ? builder.op('Concat', [past, x], { axis: 2 }) : x;
  builder.alias(all, output);
  return all;
}

/** Rotates pairs of x [batch, heads, sequence, size] by angles given as cos and sin [.., sequence, half]. */
export function rotate(
  builder: DecompositionBuilder,
  x: string,
  cosine: string,
  sine: string,
  interleaved: boolean,
): string {
  const half = builder.dimension(cosine, -1);
  const turned = builder.op('Add', [half, half]);
  const rest = builder.op('Sub', [builder.dimension(x, 3), turned]);
  const pair = (a: string, b: string): [string, string] => [
    builder.op('Sub', [builder.op('Mul', [a, cosine]), builder.op('Mul', [b, sine])]),
    builder.op('Add', [builder.op('Mul', [b, cosine]), builder.op('Mul', [a, sine])]),
  ];
  if (!interleaved) {
    const sizes = builder.op('Concat', [half, half, rest], { axis: 0 });
    const [a, b, kept] = builder.split(x, sizes, 3, 3) as [string, string, string];
    return builder.op('Concat', [...pair(a, b), kept], { axis: 3 });
  }
  const [head, kept] = builder.split(x, builder.op('Concat', [turned, rest], { axis: 0 }), 2, 3) as [
    string,
    string,
  ];
  const pairs = builder.op('Reshape', [
    head,
    builder.op('Concat', [builder.int64(0, 0, 0), half, builder.int64(2)], { axis: 0 }),
  ]);
  const at = (i: number) => builder.op('Gather', [pairs, builder.index(i)], { axis: 4 });
  const [a, b] = pair(at(0), at(1));
  const stacked = builder.op('Concat', [builder.unsqueeze(a, 4), builder.unsqueeze(b, 4)], { axis: 4 });
  return builder.op('Concat', [builder.op('Reshape', [stacked, builder.int64(0, 0, 0, -1)]), kept], {
    axis: 3,
  });
}

/** com.microsoft::MultiHeadAttention with separate query, key and value. */
export function multiHeadAttention(node: NodeProto, builder: DecompositionBuilder): void {
  const [queryInput, keyInput, valueInput, bias, padding, attentionBias, pastKey, pastValue] = node.input;
  const heads = intAttribute(node, 'num_heads', 0);
  if (!keyInput || !valueInput) throw unsupported(node, 'query, key and value are packed');
  if (node.output[3]) throw unsupported(node, 'its scores are an output');
  const oneWay = intAttribute(node, 'unidirectional', 0) === 1;
  if (oneWay && pastKey)
    throw unsupported(node, 'the runtime applies no causal mask to it when it has a past');
  let parts = [queryInput as string, keyInput, valueInput];
  if (bias) {
    const sizes = builder.op(
      'Concat',
      parts.map((x) => builder.dimension(x, 2)),
      { axis: 0 },
    );
    const biases = builder.split(bias, sizes, 3, 0);
    parts = parts.map((x, i) => builder.op('Add', [x, biases[i]]));
  }
  const [query, key, value] = parts.map((x) => builder.splitHeads(x, heads)) as [string, string, string];
  const k = appendToCache(builder, pastKey, key, node.output[1]);
  const v = appendToCache(builder, pastValue, value, node.output[2]);
  const biases: string[] = [];
  if (attentionBias) biases.push(attentionBias);
  if (padding) biases.push(paddingBias(builder, padding));
  if (oneWay) biases.push(causalBias(builder, query, k));
  const result = attend(builder, {
    query,
    key: k,
    value: v,
    biases,
    scale: floatAttribute(node, 'scale', 0),
  });
  builder.joinHeads(result, node.output[0]);
}

function causalBias(builder: DecompositionBuilder, query: string, key: string): string {
  const visible = causal(builder, builder.range(builder.dimension(query, 2)), builder.dimension(key, 2));
  return visibilityBias(builder, builder.unsqueeze(visible, 1));
}

/** com.microsoft::Attention: one weight for query, key and value. */
export function packedAttention(node: NodeProto, builder: DecompositionBuilder): void {
  const [x, weight, bias, mask, past, attentionBias] = node.input as [
    string,
    string,
    string?,
    string?,
    string?,
    string?,
  ];
  const heads = intAttribute(node, 'num_heads', 0);
  if (past) throw unsupported(node, 'it has a past');
  if (node.attribute.some((attribute) => attribute.name === 'qkv_hidden_sizes')) {
    throw unsupported(node, 'query, key and value have sizes of their own');
  }
  let joined = builder.op('MatMul', [x, weight]);
  if (bias) joined = builder.op('Add', [joined, bias]);
  const third = builder.op('Div', [builder.dimension(joined, 2), builder.int64(3)]);
  const sizes = builder.op('Concat', [third, third, third], { axis: 0 });
  const [query, key, value] = builder.split(joined, sizes, 3, 2).map((t) => builder.splitHeads(t, heads)) as [
    string,
    string,
    string,
  ];
  const biases: string[] = [];
  if (attentionBias) biases.push(attentionBias);
  if (mask) biases.push(paddingBias(builder, mask));
  if (intAttribute(node, 'unidirectional', 0) === 1) biases.push(causalBias(builder, query, key));
  const result = attend(builder, { query, key, value, biases, scale: floatAttribute(node, 'scale', 0) });
  builder.joinHeads(result, node.output[0]);
}

/** ONNX Attention (operator set 23). */
export function attention23(
  node: NodeProto,
  builder: DecompositionBuilder,
  types: TensorTypes | undefined,
): void {
  const [queryInput, keyInput, valueInput, mask, pastKey, pastValue] = node.input as [
    string,
    string,
    string,
    ...string[],
  ];
  if (node.output[3]) throw unsupported(node, 'its scores are an output');
  if (node.input[6]) throw unsupported(node, 'it has padded cache lengths');
  const rank = types?.get(queryInput)?.shape?.length;
  if (rank === undefined) throw unsupported(node, 'the rank of its query is unknown');
  const groups = intAttribute(node, 'kv_num_heads', 0);
  const heads = intAttribute(node, 'q_num_heads', 0);
  const query = rank === 4 ? queryInput : builder.splitHeads(queryInput, heads);
  const key = rank === 4 ? keyInput : builder.splitHeads(keyInput, groups);
  const value = rank === 4 ? valueInput : builder.splitHeads(valueInput, groups);
  const k = appendToCache(builder, pastKey, key, node.output[1]);
  const v = appendToCache(builder, pastValue, value, node.output[2]);
  const times = rank === 4 ? headRatio(node, types, queryInput, keyInput) : heads / groups;
  const biases: string[] = [];
  if (mask) {
    const flags = types?.get(mask)?.dataType === DataType.bool;
    biases.push(flags ? visibilityBias(builder, mask) : mask);
  }
  if (intAttribute(node, 'is_causal', 0) === 1) biases.push(causalBias(builder, query, k));
  const result = attend(builder, {
    query,
    key: builder.repeatHeads(k, times),
    value: builder.repeatHeads(v, times),
    biases,
    scale: floatAttribute(node, 'scale', 0),
    softcap: floatAttribute(node, 'softcap', 0),
  });
  if (rank === 4) builder.alias(result, node.output[0]);
  else builder.joinHeads(result, node.output[0]);
}

function headRatio(node: NodeProto, types: TensorTypes | undefined, query: string, key: string): number {
  const heads = (name: string) => types?.get(name)?.probe?.[1] ?? types?.get(name)?.shape?.[1];
  const [all, groups] = [heads(query), heads(key)];
  if (typeof all !== 'number' || typeof groups !== 'number')
    throw unsupported(node, 'its numbers of heads are unknown');
  return all / groups;
}
