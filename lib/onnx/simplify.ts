import { intAttribute, intsAttribute } from './attributes.js';
import { makeNode, outerReferences } from './graph.js';
import type { OnnxModel } from './model.js';
import type { NodeProto } from './protobuf.js';
import { isConstant } from './queries.js';
import { DataType } from './tensors.js';
import type { TensorTypes } from './types.js';

/**
 * Rewrites that change no value and leave less to keep and to differentiate, in place: casts to the type that
 * a tensor has already and copies go, and an RMS norm that is written out becomes one operator. The runtime
 * does the same by itself, but not where the tensors between are read by a backward pass.
 *
 * @param kept tensors whose names have to stay
 */
export function simplify(model: OnnxModel, types: TensorTypes, kept: ReadonlySet<string>): void {
  const inner = model.graph.nodes.flatMap((node) => outerReferences(node));
  const named = new Set([...kept, ...inner]);
  removeCopies(model, types, named);
  fuseNorms(model, types, named);
}

function removeCopies({ graph }: OnnxModel, types: TensorTypes, kept: ReadonlySet<string>): void {
  const replaced = new Map<string, string>();
  const original = (name: string): string => {
    const source = replaced.get(name);
    return source === undefined ? name : original(source);
  };
  for (const node of graph.nodes) {
    if (!isCopy(node, types)) continue;
    const [from, to] = [node.input[0], node.output[0]];
    // A weight's own name says where its bytes are, and half-precision constants are widened by casts.
    if (!kept.has(to) && !graph.initializers.has(from)) replaced.set(to, from);
  }
  if (replaced.size === 0) return;
  for (const node of graph.nodes) node.input = node.input.map((name) => (name ? original(name) : name));
  graph.setNodes(graph.nodes.filter((node) => !replaced.has(node.output[0])));
}

function isCopy(node: NodeProto, types: TensorTypes): boolean {
  if (node.domain !== '' && node.domain !== 'ai.onnx') return false;
  if (node.opType === 'Identity') return true;
  if (node.opType !== 'Cast') return false;
  return types.get(node.input[0])?.dataType === intAttribute(node, 'to', 0);
}

interface Norm {
  readonly input: string;
  readonly weight: string;
  readonly output: string;
  readonly epsilon: number;
  readonly nodes: readonly NodeProto[];
}

/** x * w / sqrt(mean(x^2) + epsilon), over the last axis. */
function fuseNorms(model: OnnxModel, types: TensorTypes, kept: ReadonlySet<string>): void {
  const { graph } = model;
  const norms = graph.nodes.flatMap((node) => {
    const norm = node.opType === 'Pow' ? normFrom(model, types, node) : undefined;
    const between = norm?.nodes.flatMap((part) => part.output).filter((name) => name !== norm.output);
    return norm && !between?.some((name) => kept.has(name)) ? [norm] : [];
  });
  if (norms.length === 0) return;
  const replacements = new Map(norms.map((norm) => [norm.nodes.at(-1) as NodeProto, norm]));
  const dropped = new Set(norms.flatMap(({ nodes }) => nodes));
  const nodes = graph.nodes.flatMap((node) => {
    const norm = replacements.get(node);
    if (!norm) return dropped.has(node) ? [] : [node];
    const attributes = { axis: -1, epsilon: { float: norm.epsilon }, stash_type: 1 };
    const { input, weight, output } = norm;
    return [
      makeNode('SimplifiedLayerNormalization', [input, weight], [output], { name: node.name, attributes }),
    ];
  });
  graph.setNodes(nodes);
}

function normFrom({ graph }: OnnxModel, types: TensorTypes, square: NodeProto): Norm | undefined {
  const x = square.input[0];
  const type = types.get(x);
  if (type?.dataType !== DataType.float32 || !type.shape) return undefined;
  const scalar = (name: string | undefined): number | undefined => {
    const values = name === undefined ? undefined : graph.constantOf(name);
    return values?.length === 1 ? values[0] : undefined;
  };
  const only = (node: NodeProto | undefined, ...operators: string[]): NodeProto | undefined => {
    const readers = node ? graph.consumersOf(node.output[0]) : [];
    const [reader] = readers;
    return readers.length === 1 && reader && operators.includes(reader.opType) ? reader : undefined;
  };
  const other = (node: NodeProto | undefined, operand: string): string | undefined =>
    node?.input.find((name) => name !== operand);

  if (scalar(square.input[1]) !== 2) return undefined;
  const mean = only(square, 'ReduceMean');
  if (!mean || !isLastAxis(mean, graph.constantOf(mean.input[1] ?? ''), type.shape.length)) return undefined;
  const shifted = only(mean, 'Add');
  const epsilon = scalar(other(shifted, mean.output[0]));
  const root = only(shifted, 'Sqrt');
  if (!shifted || epsilon === undefined || !root) return undefined;
  const deviation = root.output[0];
  const divided = only(root, 'Div', 'Reciprocal');
  if (!divided) return undefined;
  const nodes = [square, mean, shifted, root, divided];
  let unit = divided;
  if (divided.opType === 'Reciprocal' || (divided.input[1] === deviation && scalar(divided.input[0]) === 1)) {
    const product = only(divided, 'Mul');
    if (!product || other(product, divided.output[0]) !== x) return undefined;
    nodes.push(product);
    unit = product;
  } else if (divided.input[0] !== x || divided.input[1] !== deviation) return undefined;
  const weighted = only(unit, 'Mul');
  const weight = other(weighted, unit.output[0]);
  if (!weighted || weight === undefined || !isConstant(graph, weight)) return undefined;
  if (types.get(weight)?.shape?.length !== 1) return undefined;
  nodes.push(weighted);
  return { input: x, weight, output: weighted.output[0], epsilon, nodes };
}

function isLastAxis(mean: NodeProto, given: readonly number[] | undefined, rank: number): boolean {
  const axes = intsAttribute(mean, 'axes') ?? given;
  const axis = axes?.length === 1 ? axes[0] : undefined;
  return intAttribute(mean, 'keepdims', 1) === 1 && (axis === -1 || axis === rank - 1);
}
