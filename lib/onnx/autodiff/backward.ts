import { FsynError } from '../../errors.js';
import { outerReferences } from '../graph.js';
import type { OnnxModel } from '../model.js';
import type { NodeProto } from '../protobuf.js';
import { isConstant, operatorName, requireTensor } from '../queries.js';
import { isFloating } from '../tensors.js';
import type { TensorTypes } from '../types.js';
import { upgradeOpset } from '../upgrade.js';
import { BackwardBuilder, unsupported } from './builder.js';
import { cutEdges, edge } from './cuts.js';
import type { Gamma, Mode, Rule, RuleContext } from './rule.js';
import { constantOperators, rules } from './rules.js';

export interface BackwardOptions {
  readonly mode: Mode;
  /** The tensor to differentiate. Its cotangent becomes the graph input `seed`. */
  readonly output: string;
  readonly seed: string;
  /** Tensors whose gradient becomes the graph output `gradientName(tensor)`. */
  readonly wrt: readonly string[];
  readonly types: TensorTypes;
  /** Strength of the Gamma rule in the LRP modes. Default: the epsilon rule. */
  readonly gamma?: Gamma | undefined;
}

export interface BackwardStatistics {
  readonly forwardNodes: number;
  readonly backwardNodes: number;
  readonly operators: readonly string[];
  /** Broadcasts whose axes have to be found at run time, because no probe told them. */
  readonly dynamicReductions: number;
  /** Edges that the LRP mode held constant. */
  readonly cuts: number;
}

export interface BackwardResult extends BackwardStatistics {
  /** Gradient tensor by forward tensor, for those that one was computed of. */
  readonly gradients: ReadonlyMap<string, string>;
}

/** Name of the graph output that carries the gradient of a tensor. */
export function gradientName(tensor: string): string {
  return `gradient/${tensor}`;
}

/**
 * Appends the backward pass of `output` to the model's graph (reverse-mode differentiation, one node at a
 * time).
 *
 * @throws FsynError `UNSUPPORTED_OPERATOR` naming the node and the file when a node on the path has no rule
 */
export function appendBackward(model: OnnxModel, options: BackwardOptions): BackwardResult {
  const { graph } = model;
  for (const name of [options.output, ...options.wrt]) requireTensor(graph, name, model.source);
  graph.sort();
  const pass = new BackwardPass(model, options);
  return pass.run();
}

class BackwardPass {
  readonly #model: OnnxModel;
  readonly #options: BackwardOptions;
  readonly #builder: BackwardBuilder;
  readonly #forward: readonly NodeProto[];
  readonly #cuts: ReadonlySet<string>;
  readonly #live = new Set<string>();
  readonly #needed = new Set<string>();
  readonly #parts = new Map<string, string[]>();
  readonly #totals = new Map<string, string>();
  readonly #operators = new Set<string>();

  constructor(model: OnnxModel, options: BackwardOptions) {
    this.#model = model;
    this.#options = options;
    this.#builder = new BackwardBuilder(model.graph, options.types);
    this.#forward = [...model.graph.nodes];
    this.#cuts = cutEdges(model.graph, options.mode);
  }

  run(): BackwardResult {
    this.#markLive();
    this.#markNeeded();
    const { output, seed, types } = this.#options;
    const type = types.get(output);
    this.#model.graph.addInput(seed, this.#builder.dataType(output), type?.shape ?? []);
    this.#parts.set(output, [seed]);
    for (const node of [...this.#forward].reverse()) this.#visit(node);
    this.#expose();
    return {
      forwardNodes: this.#forward.length,
      backwardNodes: this.#builder.nodes.length,
      operators: [...this.#operators].sort(),
      dynamicReductions: this.#builder.dynamicReductions,
      cuts: this.#cuts.size,
      gradients: this.#totals,
    };
  }

  /** The inputs of a node that gradients may flow to, cuts excluded. */
  #flow(node: NodeProto): number[] {
    const rule = ruleOf(node);
    if (!rule) return [];
    const inputs = rule.inputs === 'all' ? [...node.input.keys()] : rule.inputs;
    return inputs.filter((i) => node.input[i] && !this.#cuts.has(edge(node.output[0], i)));
  }

  /** Live tensors depend on a requested tensor through differentiable operators. */
  #markLive(): void {
    for (const name of this.#options.wrt) this.#live.add(name);
    for (const node of this.#forward) {
      this.#refuseIfUnsupported(node);
      if (!this.#flow(node).some((i) => this.#live.has(node.input[i]))) continue;
      for (const output of node.output) {
        if (output && isFloating(this.#options.types.get(output)?.dataType ?? 1)) this.#live.add(output);
      }
    }
    if (this.#live.has(this.#options.output)) return;
    const wanted = this.#options.wrt.map((name) => JSON.stringify(name)).join(', ');
    const message = `${this.#model.source}: ${JSON.stringify(this.#options.output)} does not depend on ${wanted}.`;
    throw new FsynError('INVALID_ARGUMENT', message);
  }

  #refuseIfUnsupported(node: NodeProto): void {
    if (constantOperators.has(node.opType) && node.domain === '') return;
    const rule = ruleOf(node);
    // Subgraphs of control flow read tensors of the graph around them without listing them as inputs.
    const inputs = [...node.input, ...outerReferences(node)];
    const live = [...inputs.keys()].filter((i) => this.#live.has(inputs[i]));
    if (live.length === 0) return;
    const without =
      rule && rule.inputs !== 'all'
        ? live.find((i) => !(rule.inputs as readonly number[]).includes(i))
        : undefined;
    const reason = !rule
      ? 'there is no rule for this operator'
      : without !== undefined
        ? `there is no rule for its input ${without}`
        : undefined;
    // Only an error where the result is asked for; a dead branch may use any operator.
    if (reason && this.#reaches(node)) throw this.#located(unsupported(node, reason));
  }

  #reaches(node: NodeProto): boolean {
    if (this.#ancestors === undefined) {
      this.#ancestors = new Set([this.#options.output]);
      for (const item of [...this.#forward].reverse()) {
        if (!item.output.some((name) => this.#ancestors?.has(name))) continue;
        for (const input of [...item.input, ...outerReferences(item)]) if (input) this.#ancestors.add(input);
      }
    }
    return node.output.some((name) => this.#ancestors?.has(name));
  }

  #ancestors: Set<string> | undefined;

  #located(error: FsynError): FsynError {
    return new FsynError(error.code, `${this.#model.source}: ${error.message}`);
  }

  /** Needed tensors are those whose gradient contributes to a requested one. */
  #markNeeded(): void {
    this.#needed.add(this.#options.output);
    for (const node of [...this.#forward].reverse()) {
      if (!node.output.some((name) => this.#needed.has(name))) continue;
      for (const i of this.#flow(node)) {
        const input = node.input[i];
        if (this.#live.has(input)) this.#needed.add(input);
      }
    }
  }

  #visit(node: NodeProto): void {
    if (!node.output.some((name) => this.#parts.has(name))) return;
    const flow = this.#flow(node).filter((i) => this.#live.has(node.input[i]));
    const wanted = new Set(flow.filter((i) => this.#needed.has(node.input[i])));
    const rule = ruleOf(node);
    if (wanted.size === 0 || !rule) return;
    const arrivals = this.#parts.get(node.output[0])?.length;
    const gradients = node.output.map((name) => (name ? this.#total(name) : undefined));
    // Norms have further outputs (mean, deviation) that nothing differentiable reads.
    if (gradients[0] === undefined && node.opType !== 'Split') return;
    this.#operators.add(operatorName(node.opType, node.domain));
    const context: RuleContext = {
      node,
      mode: this.#options.mode,
      gammaOf: (kind, weight) => this.#gammaOf(kind, weight),
      builder: this.#builder,
      gradients,
      shared: () => this.#share(node, flow, gradients[0] as string),
      onlyProduct: () => (arrivals === 1 ? this.#productBehind(node.output[0]) : undefined),
      wants: (input) => wanted.has(input),
      give: (input, gradient) => {
        if (wanted.has(input)) this.#add(node.input[input], gradient);
      },
    };
    try {
      rule.backward(context);
    } catch (error) {
      throw error instanceof FsynError ? this.#located(error) : error;
    }
  }

  #gammaOf(kind: keyof Gamma, weight: string): number {
    const { mode, gamma } = this.#options;
    return mode === 'grad' || !isConstant(this.#model.graph, weight) ? 0 : (gamma?.[kind] ?? 0);
  }

  #productBehind(tensor: string): { result: string; gradient: string } | undefined {
    const { graph } = this.#model;
    const reads = (node: NodeProto) => this.#flow(node).some((i) => node.input[i] === tensor);
    const readers = graph.consumersOf(tensor).filter((node) => reads(node) && this.#reaches(node));
    const product = readers.length === 1 ? readers[0] : undefined;
    const result = product?.output[0] as string;
    const gradient = product?.opType === 'MatMul' ? this.#totals.get(result) : undefined;
    if (!product || gradient === undefined || product.input[0] !== tensor) return undefined;
    const flow = this.#flow(product).filter((i) => this.#live.has(product.input[i] as string));
    return { result, gradient: this.#share(product, flow, gradient) };
  }

  #share(node: NodeProto, flow: readonly number[], gradient: string): string {
    const factors = node.opType === 'Einsum' ? flow.length : flow.filter((i) => i < 2).length;
    if (this.#options.mode === 'grad' || factors < 2) return gradient;
    const y = node.output[0] as string;
    return this.#builder.once(`shared ${y}`, () => this.#builder.scale(gradient, 1 / factors, y));
  }

  #add(name: string, gradient: string): void {
    const parts = this.#parts.get(name);
    if (parts) parts.push(gradient);
    else this.#parts.set(name, [gradient]);
  }

  /** The sum of all gradients that arrived at a tensor, in the order of arrival. */
  #total(name: string): string | undefined {
    const parts = this.#parts.get(name);
    if (!parts) return undefined;
    const sum = parts.reduce((a, b) => this.#builder.add(a, b));
    this.#parts.set(name, [sum]);
    this.#totals.set(name, sum);
    return sum;
  }

  #expose(): void {
    const { graph } = this.#model;
    for (const name of this.#options.wrt) {
      const total = this.#total(name) ?? this.#builder.zerosLike(name);
      this.#builder.nodes.push(identity(total, gradientName(name), this.#builder));
    }
    graph.setNodes([...this.#forward, ...this.#builder.nodes]);
    for (const name of this.#options.wrt) graph.addOutput(gradientName(name));
    graph.proto.valueInfo = [];
    upgradeOpset(this.#model, this.#builder.minimumOpset);
    this.#model.requireOpset('com.microsoft', 1);
    graph.prune();
    graph.sort();
  }
}

function identity(from: string, to: string, builder: BackwardBuilder): NodeProto {
  builder.op('Identity', [from]);
  const node = builder.nodes.pop() as NodeProto;
  node.output = [to];
  return node;
}

function ruleOf(node: NodeProto): Rule | undefined {
  return Object.hasOwn(rules, node.opType) ? rules[node.opType] : undefined;
}
