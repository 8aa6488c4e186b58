import type { OnnxGraph } from '../graph.js';
import type { NodeProto } from '../protobuf.js';
import { isConstant } from '../queries.js';
import type { Mode } from './rule.js';

const GATES = new Set(['Sigmoid', 'Erf', 'Tanh']);
/** A gate and the product with its input are at most this many constant additions and scalings apart. */
const GATE_DEPTH = 4;

/** An edge of the graph: input `index` of the node that computes `output`. */
export function edge(output: string, index: number): string {
  return `${output}#${index}`;
}

/**
 * The edges that relevance does not flow through: what the LRP rules hold constant.
 *
 * AttnLRP (arXiv 2402.05602): deviations and norms, denominators, and the gate of an activation x * s(x),
 * which turns the identity rule f(x)/x into an ordinary product. CP-LRP also holds the attention
 * probabilities constant.
 */
export function cutEdges(graph: OnnxGraph, mode: Mode): Set<string> {
  const cuts = new Set<string>();
  if (mode === 'grad') return cuts;
  for (const node of graph.nodes) {
    const output = node.output[0];
    if (node.opType === 'Sqrt' || node.opType === 'ReduceL2') cuts.add(edge(output, 0));
    if (node.opType === 'Div') cuts.add(edge(output, 1));
    if (node.opType === 'Reciprocal') cuts.add(edge(output, 0));
    if (GATES.has(node.opType) && gatesItsInput(graph, node)) cuts.add(edge(output, 0));
    if (isNegativePower(graph, node)) cuts.add(edge(output, 0));
    if (mode === 'cplrp' && node.opType === 'Softmax') cuts.add(edge(output, 0));
  }
  return cuts;
}

/** x^(-1/2) and the like: an inverse deviation, as some exporters write it. */
function isNegativePower(graph: OnnxGraph, node: NodeProto): boolean {
  if (node.opType !== 'Pow') return false;
  const exponent = graph.constantOf(node.input[1]);
  return exponent?.length === 1 && exponent[0] < 0;
}

/**
 * Whether a sigmoid, erf or tanh is (after constant scalings) multiplied by the tensor that it was computed
 * from.
 */
function gatesItsInput(graph: OnnxGraph, gate: NodeProto): boolean {
  const root = withoutConstants(graph, gate.input[0]);
  const roots = new Set([root]);
  const polynomial = graph.producerOf(root);
  if (gate.opType === 'Tanh' && polynomial) {
    // tanh-GELU: the argument is x + c x^3, or x * (1 + c x^2).
    for (const input of polynomial.input) roots.add(withoutConstants(graph, input));
  }
  const multiplies = (tensor: string, depth: number): boolean =>
    depth < GATE_DEPTH &&
    graph.consumersOf(tensor).some((consumer) => {
      const next = consumer.output[0];
      if (consumer.opType === 'Add' || consumer.opType === 'Cast' || consumer.opType === 'Identity') {
        const other = consumer.input.find((input) => input !== tensor);
        return (other === undefined || isConstant(graph, other)) && multiplies(next, depth + 1);
      }
      if (consumer.opType !== 'Mul') return false;
      const other = consumer.input[0] === tensor ? consumer.input[1] : consumer.input[0];
      if (isConstant(graph, other as string)) return multiplies(next, depth + 1);
      return roots.has(withoutConstants(graph, other as string));
    });
  return multiplies(gate.output[0], 0);
}

/** Follows a tensor backwards through casts and through sums and products with constants. */
function withoutConstants(graph: OnnxGraph, tensor: string): string {
  const producer = graph.producerOf(tensor);
  if (!producer) return tensor;
  if (producer.opType === 'Identity' || producer.opType === 'Cast') {
    return withoutConstants(graph, producer.input[0]);
  }
  if (producer.opType !== 'Mul' && producer.opType !== 'Div' && producer.opType !== 'Add') return tensor;
  const variable = producer.input.filter((input) => !isConstant(graph, input));
  return variable.length === 1 ? withoutConstants(graph, variable[0]) : tensor;
}
