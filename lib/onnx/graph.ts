import { type AttributeInputs, attributes, findAttribute } from './attributes.js';
import {
  createMessage,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from './protobuf.js';
import { dimensions, float32Tensor, int64Tensor, tensorValues } from './tensors.js';

/** A dimension: a number, a symbolic name, or '' when nothing is known. */
export type Dimension = number | string;

/**
 * A graph that can be queried and edited: nodes, initializers, inputs, outputs.
 *
 * Lookups are cached and dropped on every edit through this class; code that writes to `proto` directly must
 * call `touch()`.
 */
export class OnnxGraph {
  readonly proto: GraphProto;
  #producers: Map<string, NodeProto> | undefined;
  #consumers: Map<string, NodeProto[]> | undefined;
  #initializers: Map<string, TensorProto> | undefined;
  #names: Set<string> | undefined;
  #counter = 0;

  constructor(proto: GraphProto) {
    this.proto = proto;
  }

  get nodes(): readonly NodeProto[] {
    return this.proto.node;
  }

  get inputNames(): string[] {
    // Files of IR version 3 list initializers among the inputs too.
    return this.proto.input.map((value) => value.name).filter((name) => !this.initializers.has(name));
  }

  get outputNames(): string[] {
    return this.proto.output.map((value) => value.name);
  }

  get initializers(): ReadonlyMap<string, TensorProto> {
    this.#initializers ??= new Map(this.proto.initializer.map((item) => [item.name, item]));
    return this.#initializers;
  }

  /** Forgets cached lookups after a direct edit of `proto`. */
  touch(): void {
    this.#producers = undefined;
    this.#consumers = undefined;
    this.#initializers = undefined;
    this.#names = undefined;
  }

  /** The node that computes a tensor; undefined for graph inputs and initializers. */
  producerOf(tensorName: string): NodeProto | undefined {
    if (!this.#producers) {
      this.#producers = new Map();
      for (const node of this.proto.node)
        for (const output of node.output) if (output) this.#producers.set(output, node);
    }
    return this.#producers.get(tensorName);
  }

  /** The nodes that read a tensor, in graph order. */
  consumersOf(tensorName: string): readonly NodeProto[] {
    if (!this.#consumers) {
      this.#consumers = new Map();
      for (const node of this.proto.node) {
        for (const input of new Set(node.input)) {
          const list = this.#consumers.get(input);
          if (list) list.push(node);
          else this.#consumers.set(input, [node]);
        }
      }
    }
    return this.#consumers.get(tensorName) ?? [];
  }

  /** Whether the graph has a tensor of this name. */
  has(tensorName: string): boolean {
    return (
      this.initializers.has(tensorName) ||
      this.producerOf(tensorName) !== undefined ||
      this.proto.input.some((value) => value.name === tensorName)
    );
  }

  /** Every tensor name of the graph, in order of appearance. */
  tensorNames(): string[] {
    const names = new Set<string>(this.proto.input.map((value) => value.name));
    for (const node of this.proto.node) for (const output of node.output) if (output) names.add(output);
    return [...names];
  }

  /**
   * Values of a small constant tensor (initializer or Constant node, also behind Identity); undefined when it
   * is not one.
   */
  constantOf(tensorName: string): number[] | undefined {
    const initializer = this.initializers.get(tensorName);
    if (initializer) return tensorValues(initializer);
    const producer = this.producerOf(tensorName);
    if (producer?.opType === 'Identity') return this.constantOf(producer.input[0]);
    if (producer?.opType !== 'Constant') return undefined;
    return constantNodeValues(producer);
  }

  /** Dimensions of a constant tensor, when it is one. */
  constantShape(tensorName: string): number[] | undefined {
    const initializer = this.initializers.get(tensorName);
    if (initializer) return dimensions(initializer);
    const producer = this.producerOf(tensorName);
    if (producer?.opType === 'Identity') return this.constantShape(producer.input[0]);
    if (producer?.opType !== 'Constant') return undefined;
    const value = findAttribute(producer, 'value')?.t;
    if (value) return dimensions(value);
    const values = constantNodeValues(producer);
    return values && (findAttribute(producer, 'value_ints') || findAttribute(producer, 'value_floats'))
      ? [values.length]
      : [];
  }

  /** A name that no tensor or node has yet. */
  uniqueName(prefix: string): string {
    if (!this.#names) {
      this.#names = new Set(this.initializers.keys());
      for (const value of this.proto.input) this.#names.add(value.name);
      for (const node of this.proto.node) {
        this.#names.add(node.name);
        for (const output of node.output) this.#names.add(output);
      }
    }
    let name = prefix;
    while (this.#names.has(name)) name = `${prefix}_${this.#counter++}`;
    this.#names.add(name);
    return name;
  }

  addInitializer(initializer: TensorProto): string {
    this.proto.initializer.push(initializer);
    this.#initializers?.set(initializer.name, initializer);
    this.#names?.add(initializer.name);
    return initializer.name;
  }

  addInt64(prefix: string, values: readonly number[], dims?: readonly number[]): string {
    return this.addInitializer(int64Tensor(this.uniqueName(prefix), values, dims));
  }

  addFloat32(prefix: string, values: readonly number[], dims?: readonly number[]): string {
    return this.addInitializer(float32Tensor(this.uniqueName(prefix), values, dims));
  }

  /** Adds a node of one output, which is named after the prefix; `touch` after the last one. */
  addNode(
    prefix: string,
    opType: string,
    input: readonly string[],
    attributes: NodeOptions['attributes'] = {},
  ): string {
    const name = this.uniqueName(prefix);
    this.proto.node.push(makeNode(opType, [...input], [name], { name, attributes }));
    return name;
  }

  addInput(name: string, dataType: number, shape: readonly Dimension[]): void {
    this.proto.input.push(valueInfo(name, dataType, shape));
    this.#names?.add(name);
  }

  /** Declares a tensor a graph output, once; its type is left to the runtime's inference. */
  addOutput(name: string): void {
    if (!this.outputNames.includes(name)) this.proto.output.push(createMessage('ValueInfoProto', { name }));
  }

  /** Replaces the node list. */
  setNodes(nodes: NodeProto[]): void {
    this.proto.node = nodes;
    this.touch();
  }

  /** Renames every use of a tensor by nodes and graph outputs (not its producer). */
  replaceUses(from: string, to: string): void {
    for (const node of this.proto.node) {
      for (const [i, input] of node.input.entries()) if (input === from) node.input[i] = to;
    }
    for (const output of this.proto.output) if (output.name === from) output.name = to;
    this.touch();
  }

  /** Drops nodes and initializers that no graph output depends on. ORT would execute them. */
  prune(): void {
    const kept = new Set<NodeProto>();
    const pending = this.outputNames;
    while (pending.length > 0) {
      const node = this.producerOf(pending.pop() as string);
      if (!node || kept.has(node)) continue;
      kept.add(node);
      pending.push(...node.input, ...outerReferences(node));
    }
    this.proto.node = this.proto.node.filter((node) => kept.has(node));
    const used = new Set<string>(this.outputNames);
    for (const node of this.proto.node) {
      for (const input of node.input) used.add(input);
      for (const name of outerReferences(node)) used.add(name);
    }
    this.proto.initializer = this.proto.initializer.filter((item) => used.has(item.name));
    this.touch();
  }

  /** Orders the nodes so that producers come before consumers; otherwise keeps the order. */
  sort(): void {
    const state = new Map<NodeProto, 'open' | 'done'>();
    const sorted: NodeProto[] = [];
    for (const root of this.proto.node) {
      const stack = [root];
      while (stack.length > 0) {
        const node = stack[stack.length - 1];
        if (state.get(node) === 'done') {
          stack.pop();
          continue;
        }
        const waiting = state.has(node) ? [] : this.#unfinishedProducers(node, state);
        state.set(node, 'open');
        if (waiting.length > 0) {
          stack.push(...waiting.reverse());
          continue;
        }
        state.set(node, 'done');
        sorted.push(node);
        stack.pop();
      }
    }
    this.setNodes(sorted);
  }

  #unfinishedProducers(node: NodeProto, state: ReadonlyMap<NodeProto, 'open' | 'done'>): NodeProto[] {
    const found: NodeProto[] = [];
    for (const input of [...node.input, ...outerReferences(node)]) {
      const producer = this.producerOf(input);
      if (producer && !state.has(producer)) found.push(producer);
    }
    return found;
  }
}

export interface NodeOptions {
  readonly name?: string;
  readonly domain?: string;
  readonly attributes?: AttributeInputs;
}

/** Builds a node. */
export function makeNode(
  opType: string,
  input: string[],
  output: string[],
  options: NodeOptions = {},
): NodeProto {
  return createMessage('NodeProto', {
    opType,
    input,
    output,
    name: options.name ?? output[0] ?? opType,
    domain: options.domain ?? '',
    attribute: attributes(options.attributes ?? {}),
  });
}

export function valueInfo(name: string, dataType: number, shape: readonly Dimension[]): ValueInfoProto {
  const dim = shape.map((d) => (typeof d === 'number' ? { dimValue: BigInt(d) } : d ? { dimParam: d } : {}));
  return createMessage('ValueInfoProto', {
    name,
    type: { tensorType: { elemType: dataType, shape: { dim } } } as ValueInfoProto['type'] & object,
  });
}

/** Dimensions of a declared input or output; undefined when the rank is not declared. */
export function declaredShape(value: ValueInfoProto): Dimension[] | undefined {
  const shape = value.type?.tensorType?.shape;
  if (!shape) return undefined;
  return shape.dim.map((dim) => (Object.hasOwn(dim, 'dimValue') ? Number(dim.dimValue) : dim.dimParam));
}

function constantNodeValues(node: NodeProto): number[] | undefined {
  const attribute = node.attribute[0];
  if (!attribute) return undefined;
  if (attribute.t) return tensorValues(attribute.t);
  if (attribute.name === 'value_int') return [Number(attribute.i)];
  if (attribute.name === 'value_float') return [attribute.f];
  if (attribute.name === 'value_ints') return attribute.ints.map(Number);
  if (attribute.name === 'value_floats') return Array.from(attribute.floats);
  return undefined;
}

/** Names that the subgraphs of a node (If, Loop) take from the graph around them. */
export function outerReferences(node: NodeProto): string[] {
  const names: string[] = [];
  for (const attribute of node.attribute) {
    for (const body of attribute.g ? [attribute.g, ...attribute.graphs] : attribute.graphs) {
      const inner = new Set<string>(body.initializer.map((item) => item.name));
      for (const value of body.input) inner.add(value.name);
      for (const item of body.node) for (const output of item.output) inner.add(output);
      for (const item of body.node)
        for (const name of [...item.input, ...outerReferences(item)])
          if (name && !inner.has(name)) names.push(name);
      for (const value of body.output) if (!inner.has(value.name)) names.push(value.name);
    }
  }
  return names;
}
