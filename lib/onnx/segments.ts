import { gradientName } from './autodiff/backward.js';
import type { OnnxGraph } from './graph.js';
import type { OnnxModel } from './model.js';
import { type Plan, SEED } from './plan.js';
import type { NodeProto } from './protobuf.js';

/** A stretch of an extended graph: forward nodes, and the backward nodes that read what they made. */
export interface Segment {
  readonly forward: OnnxModel;
  /** Absent where no gradient flows. */
  readonly backward: OnnxModel | undefined;
  /** Tensors made here that other segments read, forward or backward: kept for the whole pass. */
  readonly carried: readonly string[];
  /** Tensors made here that only this segment's backward graph reads: kept, or made again. */
  readonly residuals: readonly string[];
  /** Tensors made here that the caller asked for. */
  readonly wanted: readonly string[];
  /** Gradients made here that earlier segments go on with. */
  readonly passedOn: readonly string[];
  /** Gradients made here that the caller asked for. */
  readonly gradients: readonly string[];
}

/**
 * Cuts an extended graph into segments at the given tensors, for example the residual stream behind every
 * transformer block. Without cuts there is one segment, whose forward and backward graphs are the nodes that
 * do not depend on the cotangent and those that do.
 *
 * Forward nodes go where their inputs are; those that do not depend on any cut (masks, rotary tables) as late
 * as their first reader. Backward nodes go to the segment of the tensor whose gradient they continue. Nodes
 * over constants alone are repeated in every segment that reads them, so that no weight ever passes between
 * segments.
 *
 * @param gradients gradient tensor by forward tensor
 */
export function cutIntoSegments(
  model: OnnxModel,
  plan: Plan,
  cuts: readonly string[],
  gradients: ReadonlyMap<string, string>,
): Segment[] {
  const places = new Places(model.graph, plan, cuts, gradients);
  return Array.from({ length: cuts.length + 1 }, (_, index) => assemble(model, plan, places, index));
}

/** Which segment every tensor of an extended graph is made in. */
class Places {
  readonly graph: OnnxGraph;
  readonly dependent = new Set([SEED]);
  readonly #constant = new Set<string>();
  readonly #inputs: ReadonlySet<string>;
  /** Segment that makes a tensor. */
  readonly home = new Map<string, number>();
  /** Segments whose forward or backward nodes read a tensor. */
  readonly readers = new Map<string, Set<number>>();

  constructor(graph: OnnxGraph, plan: Plan, cuts: readonly string[], gradients: ReadonlyMap<string, string>) {
    this.graph = graph;
    this.#inputs = new Set(graph.inputNames);
    for (const node of graph.nodes) this.#classify(node);
    this.#placeForward(cuts);
    this.#delay(new Set([plan.output, ...plan.expose, ...cuts]));
    this.#placeBackward(cuts.length, gradients);
    this.#findReaders();
  }

  isConstant(tensor: string): boolean {
    return this.#constant.has(tensor) || this.graph.initializers.has(tensor);
  }

  isInput(tensor: string): boolean {
    return this.#inputs.has(tensor);
  }

  isBackward(node: NodeProto): boolean {
    return node.output.some((output) => this.dependent.has(output));
  }

  isConstantNode(node: NodeProto): boolean {
    return node.output.some((output) => this.#constant.has(output));
  }

  homeOf(node: NodeProto): number {
    return this.home.get(node.output.find((output) => output !== '') as string) as number;
  }

  #classify(node: NodeProto): void {
    const inputs = node.input.filter((input) => input !== '');
    const target = inputs.some((input) => this.dependent.has(input))
      ? this.dependent
      : inputs.every((input) => this.isConstant(input))
        ? this.#constant
        : undefined;
    if (target) for (const output of node.output) if (output) target.add(output);
  }

  #moving(node: NodeProto): string[] {
    return node.input.filter((input) => input !== '' && !this.isConstant(input) && !this.isInput(input));
  }

  #settle(node: NodeProto, segment: number): void {
    for (const output of node.output) if (output) this.home.set(output, segment);
  }

  #placeForward(cuts: readonly string[]): void {
    const behind = new Map(cuts.map((tensor, i) => [tensor, i + 1]));
    for (const node of this.graph.nodes) {
      if (this.isBackward(node) || this.isConstantNode(node)) continue;
      let segment = 0;
      for (const input of this.#moving(node)) {
        segment = Math.max(segment, behind.get(input) ?? this.home.get(input) ?? 0);
      }
      this.#settle(node, segment);
    }
  }

  /** Moves nodes of the first segment to the first segment that reads them. */
  #delay(fixed: ReadonlySet<string>): void {
    for (const node of [...this.graph.nodes].reverse()) {
      if (this.isBackward(node) || this.isConstantNode(node) || this.homeOf(node) !== 0) continue;
      if (node.output.some((output) => fixed.has(output))) continue;
      const readers = node.output
        .flatMap((output) => (output ? this.graph.consumersOf(output) : []))
        .filter((reader) => !this.isBackward(reader))
        .map((reader) => this.homeOf(reader));
      if (readers.length > 0) this.#settle(node, Math.min(...readers));
    }
  }

  #placeBackward(last: number, gradients: ReadonlyMap<string, string>): void {
    // Where the pass goes on from a gradient: in the segment that made the tensor it belongs to.
    const next = new Map<string, number>([[SEED, last]]);
    for (const [tensor, gradient] of gradients) {
      const home = this.home.get(tensor) ?? 0;
      next.set(gradient, Math.min(next.get(gradient) ?? last, home));
    }
    for (const node of this.graph.nodes) {
      if (!this.isBackward(node)) continue;
      let segment = last;
      for (const input of node.input) {
        if (!this.dependent.has(input)) continue;
        segment = Math.min(segment, next.get(input) ?? last, this.home.get(input) ?? last);
      }
      this.#settle(node, segment);
    }
  }

  #findReaders(): void {
    for (const node of this.graph.nodes) {
      if (this.isConstantNode(node)) continue;
      const segment = this.homeOf(node);
      for (const input of this.#moving(node)) {
        const known = this.readers.get(input);
        if (known) known.add(segment);
        else this.readers.set(input, new Set([segment]));
      }
    }
  }
}

function assemble(model: OnnxModel, plan: Plan, places: Places, index: number): Segment {
  const nodes = places.graph.nodes.filter((node) => !places.isConstantNode(node));
  const here = nodes.filter((node) => places.homeOf(node) === index);
  const constants = places.graph.nodes.filter((node) => places.isConstantNode(node));
  const forward = here.filter((node) => !places.isBackward(node));
  const backward = here.filter((node) => places.isBackward(node));
  const crosses = (tensor: string) =>
    [...(places.readers.get(tensor) ?? [])].some((segment) => segment !== index);
  const among = (names: readonly string[]) => {
    const set = new Set(names);
    return (tensor: string) => set.has(tensor);
  };
  const [made, gradients] = [outputsOf(forward), outputsOf(backward)];
  const carried = made.filter(crosses);
  const readBack = among(backward.flatMap((node) => node.input));
  const isCarried = among(carried);
  const residuals = made.filter((tensor) => readBack(tensor) && !isCarried(tensor));
  const wanted = made.filter(among([plan.output, ...plan.expose]));
  const passedOn = gradients.filter(crosses);
  const asked = gradients.filter(among(plan.wrt.map(gradientName)));
  const back = [...passedOn, ...asked];
  return {
    forward: part(model, [...constants, ...forward], [...new Set([...carried, ...residuals, ...wanted])]),
    backward: back.length > 0 ? part(model, [...constants, ...backward], back) : undefined,
    carried,
    residuals,
    wanted,
    passedOn,
    gradients: asked,
  };
}

function outputsOf(nodes: readonly NodeProto[]): string[] {
  return nodes.flatMap((node) => node.output.filter((output) => output !== ''));
}

/**
 * The given nodes as a model with the given outputs; inputs that the whole graph does not declare are yet to
 * be declared.
 */
function part(model: OnnxModel, nodes: readonly NodeProto[], outputs: readonly string[]): OnnxModel {
  const made = model.withNodes(nodes, outputs);
  const used = new Set(made.graph.nodes.flatMap((node) => node.input));
  made.graph.proto.input = made.graph.proto.input.filter((value) => used.has(value.name));
  return made;
}
