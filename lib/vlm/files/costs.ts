import type { ModelCosts } from '../../inference/program.js';
import type { OnnxGraph } from '../../onnx/graph.js';
import type { NodeProto } from '../../onnx/protobuf.js';

/** What a graph's constant matrices cost per row that goes through them. */
export interface MatrixCosts {
  /** Weights of all matrix products but the one that makes the logits. */
  readonly weights: number;
  /** Weights of the product that makes `output`, when it is one. */
  readonly head: number;
  /** Those of `weights` that only rows meet that were gathered before: of the last layer, where that was found possible. */
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

const ATTENTION = new Set(['Softmax', 'Attention', 'MultiHeadAttention', 'GroupQueryAttention']);

/**
 * Counts the weights that every row of activations is multiplied with.
 *
 * @param rowsInput name of the input by which rows are gathered
 */
export function matrixCosts(graph: OnnxGraph, output?: string, rowsInput?: string): MatrixCosts {
  const gathered = rowsInput === undefined ? new Set<NodeProto>() : behindGather(graph, rowsInput);
  let wantedRows = 0;
  let wantedRowLayers = 0;
  let weights = 0;
  let head = 0;
  let convolution = 0;
  let attentionLayers = 0;
  const widths = new Map<number, number>();
  const last = output === undefined ? undefined : lastProduct(graph, output);
  for (const node of graph.nodes) {
    if (ATTENTION.has(node.opType)) {
      attentionLayers++;
      if (gathered.has(node)) wantedRowLayers++;
    }
    const shape = weightShape(graph, node);
    if (shape === undefined) continue;
    const size = shape.reduce((product, extent) => product * extent, 1);
    if (node.opType === 'Conv') convolution += size;
    else if (node === last) head += size;
    else {
      weights += size;
      if (gathered.has(node)) wantedRows += size;
      widths.set(shape[0], (widths.get(shape[0]) ?? 0) + 1);
    }
  }
  const [width] = [...widths].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0] ?? [0];
  return { weights, head, wantedRows, convolution, attentionLayers, wantedRowLayers, width };
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
 * Floating-point operations of a model's parts: two per weight and row, four per attended pair, layer and channel.
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

/** Shape of the constant that a product multiplies with. */
function weightShape(graph: OnnxGraph, node: NodeProto): number[] | undefined {
  switch (node.opType) {
    case 'MatMul':
    case 'Gemm':
    case 'FusedMatMul':
    case 'Conv':
      return graph.constantShape(node.input[1] ?? '');
    case 'MatMulNBits': {
      const extent = (name: string) => Number(node.attribute.find((item) => item.name === name)?.i ?? 0);
      return [extent('K'), extent('N')];
    }
    default:
      return undefined;
  }
}

/** The last matrix product before an output, through operators that work row by row. */
function lastProduct(graph: OnnxGraph, output: string): NodeProto | undefined {
  let node = graph.producerOf(output);
  while (node !== undefined && weightShape(graph, node) === undefined) {
    const varying = node.input.filter((name) => name !== '' && !graph.initializers.has(name));
    node = varying.length === 1 ? graph.producerOf(varying[0]) : undefined;
  }
  return node;
}
