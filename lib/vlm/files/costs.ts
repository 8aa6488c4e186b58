import type { ModelCosts } from '../../inference/program.js';
import { OnnxGraph } from '../../onnx/graph.js';
import { constantProduct } from '../../onnx/products.js';
import type { GraphProto, NodeProto } from '../../onnx/protobuf.js';

/** What a graph's constant matrices cost per row that goes through them. */
export interface MatrixCosts {
  /** Weights of all matrix products but the one that makes the logits. */
  readonly weights: number;
  /** Weights of the product that makes `output`, when it is one. */
  readonly head: number;
  /**
   * Those of `weights` that only rows meet that were gathered before: of the last layer, where that was found
   * possible.
   */
  readonly wantedRows: number;
  /** Weights of convolutions (patch embeddings: every weight is used once per patch). */
  readonly convolution: number;
  /** Attention layers, counted by their softmax or attention operator. */
  readonly attentionLayers: number;
  /** Those of them that only gathered rows go through. */
  readonly wantedRowLayers: number;
  /** The most frequent inner extent: the model's width. */
  readonly width: number;
}

const ATTENTION = new Set([
  'Softmax',
  'Attention',
  'QAttention',
  'PackedAttention',
  'LongformerAttention',
  'MultiHeadAttention',
  'GroupQueryAttention',
  'SparseAttention',
]);

/**
 * Counts the weights that every row of activations is multiplied with. Of a conditional, the branch that
 * costs more counts. No count of weights is 0, so that work whose products are not known is not taken for
 * none.
 *
 * @param rowsInput name of the input by which rows are gathered
 */
export function matrixCosts(graph: OnnxGraph, output?: string, rowsInput?: string): MatrixCosts {
  const gathered = rowsInput === undefined ? new Set<NodeProto>() : behindGather(graph, rowsInput);
  const last = output === undefined ? undefined : lastProduct(graph, output);
  const widths = new Map<number, number>();
  const all = countNodes(graph, [], gathered, last, widths);
  const [width] = [...widths].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0] ?? [0];
  const known = all.weights + all.head + all.convolution > 0;
  return { ...all, weights: known ? all.weights : unknownWeights(graph), width: Math.max(1, width) };
}

type Counts = Omit<MatrixCosts, 'width'>;

const nothing: Counts = {
  weights: 0,
  head: 0,
  wantedRows: 0,
  convolution: 0,
  attentionLayers: 0,
  wantedRowLayers: 0,
};

function countNodes(
  graph: OnnxGraph,
  outer: readonly OnnxGraph[],
  gathered: ReadonlySet<NodeProto>,
  last: NodeProto | undefined,
  widths: Map<number, number>,
): Counts {
  let total = nothing;
  for (const node of graph.nodes) {
    const wanted = gathered.has(node);
    const product = constantProduct(graph, node, outer);
    const size = product?.size ?? 0;
    const inner = product !== undefined && !product.convolution && node !== last;
    if (inner) widths.set(product.inner, (widths.get(product.inner) ?? 0) + 1);
    const layer = ATTENTION.has(node.opType) ? 1 : 0;
    const bodies = subgraphs(node).map((body) =>
      countNodes(new OnnxGraph(body), [graph, ...outer], gathered, undefined, widths),
    );
    const ofBodies = node.opType === 'If' ? bodies.reduce(dearer, nothing) : bodies.reduce(sum, nothing);
    total = sum(sum(total, ofBodies), {
      weights: inner ? size : 0,
      head: node === last ? size : 0,
      wantedRows: inner && wanted ? size : 0,
      convolution: product?.convolution && node !== last ? size : 0,
      attentionLayers: layer,
      wantedRowLayers: wanted ? layer : 0,
    });
  }
  return total;
}

function subgraphs(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap((attribute) =>
    attribute.g ? [attribute.g, ...attribute.graphs] : attribute.graphs,
  );
}

function sum(a: Counts, b: Counts): Counts {
  const keys = Object.keys(nothing) as (keyof Counts)[];
  return Object.fromEntries(keys.map((key) => [key, a[key] + b[key]])) as unknown as Counts;
}

function dearer(a: Counts, b: Counts): Counts {
  return b.weights + b.convolution > a.weights + a.convolution ? b : a;
}

/**
 * The matrices of a graph without any product that is known: no table of them is likely to be there for
 * nothing.
 */
function unknownWeights(graph: OnnxGraph): number {
  const looked = new Set(
    graph.nodes.filter(({ opType }) => opType === 'Gather').map(({ input }) => input[0]),
  );
  let weights = 1;
  for (const [name, item] of graph.initializers) {
    if (item.dims.length < 2 || looked.has(name)) continue;
    weights += item.dims.reduce((size, extent) => size * Number(extent), 1);
  }
  return weights;
}

/** Operators that take rows gathered by an input, or what is computed from them. The nodes are in order. */
function behindGather(graph: OnnxGraph, rowsInput: string): Set<NodeProto> {
  const nodes = new Set<NodeProto>();
  const tensors = new Set<string>();
  for (const node of graph.nodes) {
    const gathers = node.opType === 'Gather' && node.input[1] === rowsInput;
    if (!gathers && !node.input.some((name) => tensors.has(name))) continue;
    nodes.add(node);
    for (const name of node.output) tensors.add(name);
  }
  return nodes;
}

/**
 * Floating-point operations of a model's parts: two per weight and row, four per attended pair, layer and
 * channel.
 *
 * @param features image features of one image state
 */
export function modelCosts(vision: MatrixCosts, decoder: MatrixCosts, features: number): ModelCosts {
  const attention = 4 * vision.attentionLayers * vision.width * features * features;
  return {
    visionFlops: 2 * features * (vision.weights + vision.head + vision.convolution) + attention,
    tokenFlops: 2 * (decoder.weights - decoder.wantedRows),
    headFlops: 2 * (decoder.head + decoder.wantedRows),
    attentionFlops: 4 * (decoder.attentionLayers - decoder.wantedRowLayers) * decoder.width,
    rowAttentionFlops: 4 * decoder.wantedRowLayers * decoder.width,
  };
}

/** The last matrix product before an output, through operators that work element by element. */
function lastProduct(graph: OnnxGraph, output: string): NodeProto | undefined {
  let names = [output];
  while (names.length > 0) {
    const nodes = names.map((name) => graph.producerOf(name)).filter((node) => node !== undefined);
    const found = nodes.find((node) => constantProduct(graph, node) !== undefined);
    if (found !== undefined) return found;
    // Scales of a dynamically quantised head vary too: the nearest product is the one that makes the output.
    names = nodes
      .filter((node) => PASSED.has(node.opType))
      .flatMap((node) => node.input)
      .filter((name) => name !== '');
  }
  return undefined;
}

const PASSED = new Set(
  'Add Cast Clip Div DequantizeLinear Gather Identity Mul QuantizeLinear Reshape Slice Squeeze Sub Tanh Transpose Unsqueeze'.split(
    ' ',
  ),
);
