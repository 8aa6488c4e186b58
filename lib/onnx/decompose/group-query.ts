import { floatAttribute, intAttribute } from '../attributes.js';
import { unsupported } from '../autodiff/builder.js';
import type { NodeProto } from '../protobuf.js';
import { DataType } from '../tensors.js';
import { appendToCache, attend, causal, rotate, visibilityBias } from './attention.js';
import type { DecompositionBuilder } from './builder.js';

/** What an attention heeds instead of the mask's sum and of positions that it counts itself. */
export interface Heeded {
  /** Added to scores: [batch, 1, queries, keys], for a window of so many tokens or -1. */
  readonly bias: (window: number) => string;
  /** [batch, queries] */
  readonly positions: string;
  /** Rows of a table of cosines or sines at the positions: float32 [batch, 1, queries, half]. */
  readonly rows: (table: string, positions: string) => string;
  /** Whether the operator's tensors are in half precision; arithmetic is in float32 all the same. */
  readonly half: boolean;
}

/**
 * com.microsoft::GroupQueryAttention; semantics in the runtime's ContribOperators documentation.
 *
 * @param heeded as the operator does it, where it is absent
 */
export function groupQueryAttention(node: NodeProto, builder: DecompositionBuilder, heeded?: Heeded): void {
  const groups = intAttribute(node, 'kv_num_heads', 0);
  const heads = intAttribute(node, 'num_heads', 0);
  const [, , , pastKey, pastValue, , , , , , bias, sink] = node.input;
  refuseVariants(node);
  const wide = (x: string) => (heeded?.half ? builder.op('Cast', [x], { to: DataType.float32 }) : x);
  const narrow = (x: string) => (heeded?.half ? builder.op('Cast', [x], { to: DataType.float16 }) : x);
  const [query, key, value] = parted(node, builder);
  const queries = builder.dimension(query, 1);
  const past = pastKey ? builder.dimension(pastKey, 2) : builder.int64(0);
  const places = heeded ? undefined : builder.op('Add', [builder.range(queries), past]);
  let [q, k] = [wide(builder.splitHeads(query, heads)), builder.splitHeads(key, groups)];
  if (intAttribute(node, 'do_rotary', 0) === 1) {
    const [c, s] = angles(node, builder, places, heeded);
    const interleaved = intAttribute(node, 'rotary_interleaved', 0) === 1;
    q = rotate(builder, q, c, s, interleaved);
    k = narrow(rotate(builder, wide(k), c, s, interleaved));
  }
  k = wide(appendToCache(builder, pastKey, k, node.output[1]));
  const v = wide(appendToCache(builder, pastValue, builder.splitHeads(value, groups), node.output[2]));
  const window = intAttribute(node, 'local_window_size', -1);
  const smooth = intAttribute(node, 'smooth_softmax', 0) === 1;
  const none = () => builder.op('Expand', [builder.float(0), builder.int64(heads)]);
  const result = attend(builder, {
    query: q,
    key: builder.repeatHeads(k, heads / groups),
    value: builder.repeatHeads(v, heads / groups),
    biases: [
      ...(bias ? [wide(bias)] : []),
      heeded ? heeded.bias(window) : countedBias(node, builder, places as string, k, window),
    ],
    scale: floatAttribute(node, 'scale', 0),
    softcap: floatAttribute(node, 'softcap', 0),
    sink: sink ? wide(sink) : smooth ? none() : undefined,
  });
  if (heeded?.half) narrowed(builder, result, node.output[0]);
  else builder.joinHeads(result, node.output[0]);
}

function refuseVariants(node: NodeProto): void {
  if (node.output[3]) throw unsupported(node, 'its scores are an output');
  if (node.input[12] || node.input[13]) throw unsupported(node, 'it normalises queries or keys');
  if (intAttribute(node, 'kv_cache_bit_width', 0) > 0) throw unsupported(node, 'its cache is quantised');
}

/** Query, key and value: inputs of their own, or one behind the other. */
function parted(node: NodeProto, builder: DecompositionBuilder): [string, string, string] {
  const [query, key, value] = node.input as [string, string?, string?];
  if (key && value) return [query, key, value];
  const groups = intAttribute(node, 'kv_num_heads', 0);
  const heads = intAttribute(node, 'num_heads', 0);
  const unit = builder.op('Div', [builder.dimension(query, 2), builder.int64(heads + 2 * groups)]);
  const sizes = builder.op('Mul', [unit, builder.int64(heads, groups, groups)]);
  return builder.split(query, sizes, 3, 2) as [string, string, string];
}

/** Cosines and sines of the queries' positions, [batch or none, 1, queries, half]. */
function angles(
  node: NodeProto,
  builder: DecompositionBuilder,
  places: string | undefined,
  heeded: Heeded | undefined,
): [string, string] {
  const [cosine, sine, given] = node.input.slice(7) as [string, string, string?];
  if (heeded) {
    const at = given || heeded.positions;
    return [heeded.rows(cosine, at), heeded.rows(sine, at)];
  }
  const table = (cache: string) => {
    const rows = builder.op('Gather', [cache, given || (places as string)]);
    return given ? builder.unsqueeze(rows, 1) : rows;
  };
  return [table(cosine), table(sine)];
}

/** Hides keys behind the query, and those behind the last that the sum of the mask counts. */
function countedBias(
  node: NodeProto,
  builder: DecompositionBuilder,
  places: string,
  key: string,
  window: number,
): string {
  const lengths = node.input[5] as string;
  const keys = builder.dimension(key, 2);
  const last = builder.unsqueeze(builder.toInt64(builder.op('Reshape', [lengths, builder.int64(-1)])), 1, 2);
  const valid = builder.op('LessOrEqual', [builder.unsqueeze(builder.range(keys), 0, 1), last]);
  const seen = builder.op('And', [causal(builder, places, keys, window), valid]);
  return visibilityBias(builder, builder.unsqueeze(seen, 1));
}

function narrowed(builder: DecompositionBuilder, result: string, output: string): void {
  const joined = builder.joinHeads(result, builder.graph.uniqueName('decomposed/joined'));
  builder.op('Cast', [joined], { to: DataType.float16 }, output);
}
