import type { OnnxGraph } from './graph.js';
import type { NodeProto } from './protobuf.js';
import { isConstant } from './queries.js';

/** One transformer block's tensors. */
export interface BlockTap {
  /** Attention probabilities [batch, heads, queries, keys] (or [batch * heads, queries, keys]). */
  readonly attention: string;
  /** The residual stream behind the block [batch, sequence, hidden]; undefined when it was not recognised. */
  readonly output: string | undefined;
}

/**
 * The transformer blocks of a decomposed graph, in order.
 *
 * Attention probabilities are the results of a Softmax that a matrix product reads. A block's output is the
 * second addition onto the residual stream behind its attention: the first adds the attention's result, the
 * second the MLP's.
 */
export function transformerBlocks(graph: OnnxGraph): BlockTap[] {
  return attentionTensors(graph).map((attention) => ({ attention, output: blockOutput(graph, attention) }));
}

/** Names of all attention-probability tensors, in graph order. */
function attentionTensors(graph: OnnxGraph): string[] {
  const found: string[] = [];
  for (const node of graph.nodes) {
    if (node.opType !== 'Softmax') continue;
    const probabilities = throughCasts(graph, node.output[0]);
    if (graph.consumersOf(probabilities).some((consumer) => isProduct(consumer, probabilities)))
      found.push(probabilities);
  }
  return found;
}

/**
 * Attention in half precision is computed in float32 and cast back; some exporters replace NaN (fully masked
 * rows) by 0.
 */
function throughCasts(graph: OnnxGraph, tensor: string): string {
  const consumers = graph.consumersOf(tensor);
  const guard = consumers.find((node) => node.opType === 'Where' && node.input[2] === tensor);
  if (guard && consumers.length === 2 && consumers.some((node) => node.opType === 'IsNaN')) {
    return throughCasts(graph, guard.output[0]);
  }
  const next = consumers.length === 1 ? consumers[0] : undefined;
  if (next && (next.opType === 'Cast' || next.opType === 'Identity' || next.opType === 'Dropout')) {
    return throughCasts(graph, next.output[0]);
  }
  return tensor;
}

function isProduct(node: NodeProto, left: string): boolean {
  return (
    (node.opType === 'MatMul' || node.opType === 'FusedMatMul' || node.opType === 'Einsum') &&
    node.input[0] === left
  );
}

function blockOutput(graph: OnnxGraph, attention: string): string | undefined {
  const afterAttention = nextResidual(graph, attention);
  return afterAttention === undefined ? undefined : nextResidual(graph, afterAttention, afterAttention);
}

/**
 * The first addition behind `start` of two computed tensors of which one does not depend on it (or is
 * `residual` itself). Biases are constants and rotary embeddings have both operands behind the query, so
 * neither is mistaken for it.
 */
function nextResidual(graph: OnnxGraph, start: string, residual?: string): string | undefined {
  const behind = new Set([start]);
  for (const node of graph.nodes) {
    if (!node.input.some((input) => behind.has(input))) continue;
    if (node.opType === 'Add' && isResidual(graph, node, behind, residual)) return node.output[0];
    for (const output of node.output) if (output) behind.add(output);
  }
  return undefined;
}

function isResidual(
  graph: OnnxGraph,
  node: NodeProto,
  behind: ReadonlySet<string>,
  residual?: string,
): boolean {
  const [a, b] = node.input as [string, string];
  if (isConstant(graph, a) || isConstant(graph, b)) return false;
  if (residual !== undefined) {
    return (
      (source(graph, a) === residual) !== (source(graph, b) === residual) && behind.has(a) && behind.has(b)
    );
  }
  return behind.has(a) !== behind.has(b);
}

/** A tensor before casts and copies. */
function source(graph: OnnxGraph, tensor: string): string {
  const producer = graph.producerOf(tensor);
  if (producer?.opType !== 'Cast' && producer?.opType !== 'Identity') return tensor;
  return source(graph, producer.input[0]);
}
