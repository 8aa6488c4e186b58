import { FsynError } from '../errors.js';
import type { OnnxGraph } from './graph.js';
import { OnnxModel } from './model.js';
import type { GraphProto, NodeProto } from './protobuf.js';

/**
 * The operator types that a model file uses, with how many nodes each has; operators of other domains than
 * ONNX's own are written `domain::type`. Subgraphs are included.
 *
 * @example
 * const operators = await operatorTypes('decoder_model_merged.onnx');
 * if (operators.has('com.microsoft::GroupQueryAttention')) { ... }
 */
export async function operatorTypes(path: string): Promise<Map<string, number>> {
  return countOperators((await OnnxModel.load(path)).graph.proto);
}

/** The operator types of a graph and its subgraphs, with how many nodes each has. */
function countOperators(graph: GraphProto, counts = new Map<string, number>()): Map<string, number> {
  for (const node of graph.node) {
    const name = operatorName(node.opType, node.domain);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const attribute of node.attribute) {
      if (attribute.g) countOperators(attribute.g, counts);
      for (const body of attribute.graphs) countOperators(body, counts);
    }
  }
  return counts;
}

export function operatorName(opType: string, domain: string): string {
  return domain === '' || domain === 'ai.onnx' ? opType : `${domain}::${opType}`;
}

/**
 * Checks that the graph has a tensor.
 *
 * @throws FsynError `INVALID_ARGUMENT` that suggests the most similar names
 */
export function requireTensor(graph: OnnxGraph, name: string, source: string): void {
  if (graph.has(name)) return;
  const similar = suggestions(name, graph.tensorNames());
  const hint =
    similar.length > 0 ? ` Did you mean ${similar.map((item) => JSON.stringify(item)).join(', ')}?` : '';
  throw new FsynError('INVALID_ARGUMENT', `${source} has no tensor named ${JSON.stringify(name)}.${hint}`);
}

/** Up to three candidates most similar to a name, by edit distance, ties in the order given. */
export function suggestions(name: string, candidates: readonly string[]): string[] {
  const limit = Math.max(3, Math.ceil(name.length / 2));
  return candidates
    .map((candidate, order) => ({ candidate, order, distance: editDistance(name, candidate) }))
    .filter((item) => item.distance <= limit || item.candidate.includes(name))
    .sort((a, b) => a.distance - b.distance || a.order - b.order)
    .slice(0, 3)
    .map((item) => item.candidate);
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, previous[j] + 1, row[j - 1] + 1));
    }
    previous = row;
  }
  return previous[b.length];
}

/**
 * The given tensors and everything that they are computed from.
 *
 * @param inputsOf what of a node's inputs counts; '' is passed over. Default: all.
 */
export function ancestors(
  graph: OnnxGraph,
  tensors: readonly string[],
  inputsOf: (node: NodeProto) => readonly string[] = (node) => node.input,
): Set<string> {
  const found = new Set(tensors);
  const pending = [...tensors];
  while (pending.length > 0) {
    const node = graph.producerOf(pending.pop() as string);
    for (const input of node ? inputsOf(node) : []) {
      if (input && !found.has(input)) {
        found.add(input);
        pending.push(input);
      }
    }
  }
  return found;
}

/** Whether a tensor is a constant, also one that is widened from half precision. */
export function isConstant(graph: OnnxGraph, tensor: string): boolean {
  if (graph.initializers.has(tensor)) return true;
  const producer = graph.producerOf(tensor);
  if (!producer) return false;
  if (producer.opType === 'Identity' || producer.opType === 'Cast')
    return isConstant(graph, producer.input[0]);
  return producer.opType === 'Constant';
}
