import { findAttribute } from './attributes.js';
import { EXPORTED } from './exported.js';
import { type OnnxGraph, outerReferences } from './graph.js';
import { cloneNode, type OnnxModel } from './model.js';
import { createMessage, type GraphProto, type NodeProto } from './protobuf.js';

/**
 * Conditions that are decided before a run: decoders that hold two graphs in one are explained without a
 * cache.
 */
const DECIDED: Readonly<Record<string, boolean>> = { [EXPORTED.readsCache]: false };

/**
 * Replaces every `If` whose condition is a constant, or the input `use_cache_branch` (taken as false), by the
 * branch that it selects, in place. Other conditions stay.
 */
export function inlineBranches(model: OnnxModel): void {
  const { graph } = model;
  if (!graph.nodes.some((node) => node.opType === 'If')) return;
  while (graph.nodes.some((node) => node.opType === 'If')) {
    let changed = false;
    const nodes = graph.nodes.flatMap((node) => {
      const condition = node.opType === 'If' ? conditionOf(graph, node.input[0]) : undefined;
      if (condition === undefined) return [node];
      changed = true;
      return inlined(graph, node, condition);
    });
    if (!changed) break;
    graph.setNodes(nodes);
  }
  const used = new Set(graph.nodes.flatMap((node) => [...node.input, ...outerReferences(node)]));
  graph.proto.input = graph.proto.input.filter(
    (value) => used.has(value.name) || !Object.hasOwn(DECIDED, value.name),
  );
}

function conditionOf(graph: OnnxGraph, name: string): boolean | undefined {
  const constant = graph.constantOf(name);
  if (constant) return constant[0] !== 0;
  if (Object.hasOwn(DECIDED, name) && graph.inputNames.includes(name)) return DECIDED[name];
  const producer = graph.producerOf(name);
  if (!producer || !['Identity', 'Cast', 'Squeeze', 'Reshape', 'Unsqueeze'].includes(producer.opType))
    return undefined;
  return conditionOf(graph, producer.input[0]);
}

/** The nodes of a branch with names of their own; tensors of the outer graph keep theirs. */
function inlined(graph: OnnxGraph, node: NodeProto, condition: boolean): NodeProto[] {
  const body = findAttribute(node, condition ? 'then_branch' : 'else_branch')?.g as GraphProto;
  const prefix = graph.uniqueName(`${node.name || node.output[0]}/branch`);
  const names = new Map<string, string>();
  for (const item of body.initializer) {
    names.set(item.name, `${prefix}/${item.name}`);
    graph.addInitializer(
      Object.assign(createMessage('TensorProto'), item, { name: `${prefix}/${item.name}` }),
    );
  }
  for (const item of body.node)
    for (const output of item.output) if (output) names.set(output, `${prefix}/${output}`);
  const renamed = (name: string) => names.get(name) ?? name;
  const nodes = body.node.map((item) => rename(item, renamed, prefix));
  const results = body.output.map((value, i) => {
    const copy = createMessage('NodeProto', {
      opType: 'Identity',
      name: `${prefix}/output${i}`,
      input: [renamed(value.name)],
      output: [node.output[i]],
    });
    return copy;
  });
  return [...nodes, ...results.filter((item) => item.output[0])];
}

function rename(node: NodeProto, renamed: (name: string) => string, prefix: string): NodeProto {
  const copy = cloneNode(node);
  copy.name = `${prefix}/${node.name}`;
  copy.input = node.input.map((name) => (name ? renamed(name) : name));
  copy.output = node.output.map((name) => (name ? renamed(name) : name));
  return copy;
}
