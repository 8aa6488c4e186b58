import { declaredShape, makeNode, type NodeOptions, type OnnxGraph, valueInfo } from '../../onnx/graph.js';
import { DataType } from '../../onnx/tensors.js';

/** A graph of a decoder with its backward pass, to which nodes are added. */
export interface Glue {
  readonly graph: OnnxGraph;
  /** The decoder's output, [points, 1, vocabulary]. */
  readonly logits: string;
  /** The input that is its cotangent. */
  readonly seed: string;
}

/** Below any logit. */
const LOWEST = -3.4e38;

function op(
  graph: OnnxGraph,
  type: string,
  input: string[],
  attributes: NodeOptions['attributes'] = {},
): string {
  return graph.addNode(`glue/${type}`, type, input, attributes);
}

/** Computes an input of the graph instead of taking it. */
function compute(graph: OnnxGraph, name: string, type: string, input: string[], axis?: number): void {
  graph.proto.input = graph.proto.input.filter((value) => value.name !== name);
  const attributes = axis === undefined ? {} : { axis };
  graph.proto.node.push(makeNode(type, input, [name], { name: `glue/${name}`, attributes }));
}

/**
 * Makes the cotangent of the logits in the graph, as `explainedOf` does outside: of the token's logit less
 * the rival's, less the softmax, times the token's probability, by three weights. A rival below 0 is the
 * largest logit besides the token's.
 *
 * Adds the inputs `target_token`, `target_rival` (int64 [1]), `rival_weight`, `softmax_weight` and
 * `probability_weight` (float [1]).
 */
export function seedFromTarget({ graph, logits, seed }: Glue): void {
  const add = (type: string, input: string[], attributes: NodeOptions['attributes'] = {}) =>
    op(graph, type, input, attributes);
  for (const name of ['target_token', 'target_rival']) graph.addInput(name, DataType.int64, [1]);
  for (const name of ['rival_weight', 'softmax_weight', 'probability_weight'])
    graph.addInput(name, DataType.float32, [1]);
  const [zero, one] = [graph.addInt64('glue/zero', [0], []), graph.addInt64('glue/one', [1], [])];
  const size = add('Gather', [add('Shape', [logits]), graph.addInt64('glue/last', [2], [])], { axis: 0 });
  const words = add('Range', [zero, size, one]);
  const isToken = add('Equal', [words, 'target_token']);
  const others = add('Where', [isToken, graph.addFloat32('glue/lowest', [LOWEST]), logits]);
  const largest = add('ArgMax', [others], { axis: -1, keepdims: 1 });
  const rival = add('Where', [add('Less', ['target_rival', zero]), largest, 'target_rival']);
  const float = (mask: string) => add('Cast', [mask], { to: DataType.float32 });
  const token = float(isToken);
  const lead = add('Sub', [token, add('Mul', [float(add('Equal', [words, rival])), 'rival_weight'])]);
  const shares = add('Softmax', [logits], { axis: -1 });
  const slope = add('Sub', [lead, add('Mul', [shares, 'softmax_weight'])]);
  const probability = add('ReduceSum', [add('Mul', [shares, token]), graph.addInt64('glue/axes', [-1])], {
    keepdims: 1,
  });
  const unit = graph.addFloat32('glue/unit', [1]);
  const excess = add('Mul', [add('Sub', [probability, unit]), 'probability_weight']);
  compute(graph, seed, 'Mul', [slope, add('Add', [excess, unit])]);
}

/**
 * Puts image features into the sequence of embeddings, and takes their gradient from its gradient.
 *
 * Adds the inputs `token_embeddings` (as `embeddings` was declared), `merge_rows` (int64 [length]: the row of
 * the text's embeddings followed by the image's that each position takes) and `image_rows` (int64 [features]:
 * the position that each feature went to).
 */
export function connectImage(
  { graph }: Glue,
  names: {
    readonly embeddings: string;
    readonly embeddingGradient: string;
    readonly features: string;
    readonly featureGradient: string;
  },
): void {
  const declared = graph.proto.input.find(({ name }) => name === names.embeddings);
  const shape = (declared && declaredShape(declared)) ?? ['', '', ''];
  graph.proto.input.push(valueInfo('token_embeddings', DataType.float32, shape));
  for (const name of ['merge_rows', 'image_rows']) graph.addInput(name, DataType.int64, ['']);
  const extents = op(graph, 'Shape', ['token_embeddings']);
  const extent = (axis: number) =>
    op(graph, 'Gather', [extents, graph.addInt64('glue/axis', [axis])], { axis: 0 });
  const rows = [extent(0), graph.addInt64('glue/rest', [-1]), extent(2)];
  const image = op(graph, 'Reshape', [names.features, op(graph, 'Concat', rows, { axis: 0 })]);
  const all = op(graph, 'Concat', ['token_embeddings', image], { axis: 1 });
  compute(graph, names.embeddings, 'Gather', [all, 'merge_rows'], 1);
  const back = op(graph, 'Gather', [names.embeddingGradient, 'image_rows'], { axis: 1 });
  compute(graph, names.featureGradient, 'Reshape', [back, op(graph, 'Shape', [names.features])]);
}
