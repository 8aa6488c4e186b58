import { FsynError } from '../errors.js';
import type { Session, TensorValue } from '../inference/session.js';
import { NativeTensor } from '../inference/tensor.js';
import { resolveOptions } from '../options.js';
import { gradientName } from './autodiff/backward.js';
import {
  buildExtended,
  type DifferentiableOptions,
  differentiableDefaults,
  type Plan,
  SEED,
} from './extended.js';
import type { OnnxModel } from './model.js';
import { createMessage } from './protobuf.js';
import type { BlockTap } from './taps.js';
import { dataTypeCode } from './tensors.js';
import { type Feeds, openSession } from './types.js';

export type SplitOptions = Omit<DifferentiableOptions, 'selectLogits'>;

/**
 * A model whose backward pass is a graph of its own: one forward run, then any number of cotangents, without repeating it.
 * What the backward pass needs from the forward one stays in native memory.
 *
 * @example
 * const model = await SplitModel.load('vision_encoder.onnx', { output: 'image_features' });
 * using pass = await model.forward({ pixel_values });
 * const { pixel_values: gradient } = await pass.backward(cotangent);
 */
export class SplitModel {
  readonly blocks: readonly BlockTap[];
  readonly #forward: Session;
  readonly #backward: Session;
  readonly #plan: Plan;
  /** Tensors that the backward graph reads: computed by the forward graph, or inputs of both. */
  readonly #residuals: readonly string[];
  readonly #shared: readonly string[];

  private constructor(forward: Session, backward: Session, plan: Plan, residuals: readonly string[]) {
    this.#forward = forward;
    this.#backward = backward;
    this.#plan = plan;
    this.blocks = plan.blocks;
    const outputs = new Set(forward.outputs.map((output) => output.name));
    this.#residuals = residuals.filter((name) => outputs.has(name));
    this.#shared = backward.inputs
      .map((input) => input.name)
      .filter((name) => name !== SEED && !this.#residuals.includes(name));
  }

  /** Builds both graphs and opens their sessions. Throws like `DifferentiableModel.load`. */
  static async load(source: string | OnnxModel, options?: SplitOptions): Promise<SplitModel> {
    const given = resolveOptions('SplitModel.load', differentiableDefaults, {
      ...options,
      selectLogits: false,
    });
    const { model, plan } = await buildExtended(source, given);
    const parts = separate(model);
    const forward = await openSession(parts.forward, 'all', given.signal, given.threads);
    try {
      for (const output of forward.outputs) {
        const dataType = dataTypeCode(output.elementType);
        if (!parts.residuals.includes(output.name) || dataType === undefined) continue;
        // An empty shape may be an unknown rank: leave it open.
        const shape = {
          dim: output.shape.map((d) => (typeof d === 'number' ? { dimValue: BigInt(d) } : {})),
        };
        const type = { tensorType: { elemType: dataType, ...(output.shape.length > 0 ? { shape } : {}) } };
        parts.backward.graph.proto.input.push(
          createMessage('ValueInfoProto', { name: output.name, type: type as never }),
        );
      }
      const backward = await openSession(parts.backward, 'all', given.signal, given.threads);
      return new SplitModel(forward, backward, plan, parts.residuals);
    } catch (error) {
      forward.dispose();
      throw error;
    }
  }

  /** Runs forward and keeps what backward runs need until the pass is disposed. Feeds that it does not read are ignored. */
  async forward(feeds: Feeds, options: { readonly signal?: AbortSignal } = {}): Promise<ForwardPass> {
    const known = new Set(this.#forward.inputs.map((input) => input.name));
    const given = Object.fromEntries(Object.entries(feeds).filter(([name]) => known.has(name)));
    const values = [...new Set([this.#plan.output, ...this.#plan.expose])];
    const kept = this.#residuals.filter((name) => !values.includes(name));
    const result = await this.#forward.run(given, { outputs: [...values, ...kept], keep: kept, ...options });
    const saved: Record<string, TensorValue> = {};
    for (const name of this.#shared) saved[name] = feeds[name] as TensorValue;
    for (const name of this.#residuals) saved[name] = result[name] as TensorValue;
    return new ForwardPass(this.#backward, this.#plan, result, saved);
  }

  dispose(): void {
    this.#forward.dispose();
    this.#backward.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The results of one forward run, and its backward runs. */
export class ForwardPass {
  /** The differentiated tensor. */
  readonly output: TensorValue;
  /** Exposed tensors by name; attention probabilities and hidden states among them when asked for. */
  readonly values: Readonly<Record<string, TensorValue>>;
  readonly #backward: Session;
  readonly #plan: Plan;
  #saved: Record<string, TensorValue> | undefined;

  /** @internal made by `SplitModel.forward` */
  constructor(
    backward: Session,
    plan: Plan,
    result: Readonly<Record<string, TensorValue>>,
    saved: Record<string, TensorValue>,
  ) {
    this.output = result[plan.output] as TensorValue;
    this.values = Object.fromEntries(plan.expose.map((name) => [name, result[name] as TensorValue]));
    this.#backward = backward;
    this.#plan = plan;
    this.#saved = saved;
  }

  /**
   * Gradients by tensor name.
   *
   * @param cotangent of the output, of its shape
   * @throws FsynError `DISPOSED`
   */
  async backward(
    cotangent: TensorValue,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Record<string, TensorValue>> {
    if (!this.#saved) throw new FsynError('DISPOSED', 'The forward pass has been disposed.');
    const outputs = this.#plan.wrt.map(gradientName);
    const result = await this.#backward.run({ ...this.#saved, [SEED]: cotangent }, { outputs, ...options });
    return Object.fromEntries(
      this.#plan.wrt.map((name) => [name, result[gradientName(name)] as TensorValue]),
    );
  }

  /** Frees what was kept for backward runs. */
  dispose(): void {
    for (const value of Object.values(this.#saved ?? {})) if (value instanceof NativeTensor) value.dispose();
    this.#saved = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Splits an extended graph into the nodes that do not depend on the cotangent and those that do. */
function separate(model: OnnxModel): { forward: OnnxModel; backward: OnnxModel; residuals: string[] } {
  const { graph } = model;
  const dependent = new Set([SEED]);
  for (const node of graph.nodes) {
    if (node.input.some((input) => dependent.has(input)))
      for (const output of node.output) dependent.add(output);
  }
  const forward = model.clone();
  const backward = model.clone();
  const isBackward = (outputs: readonly string[]) => outputs.some((output) => dependent.has(output));
  const constant = (name: string) =>
    graph.initializers.has(name) || graph.producerOf(name)?.opType === 'Constant';
  const inputs = new Set(graph.inputNames);
  const residuals = new Set<string>();
  for (const node of graph.nodes) {
    if (!isBackward(node.output)) continue;
    for (const input of node.input) {
      if (input && !dependent.has(input) && !constant(input) && !inputs.has(input)) residuals.add(input);
    }
  }
  forward.graph.setNodes(forward.graph.proto.node.filter((node) => !isBackward(node.output)));
  forward.graph.proto.input = forward.graph.proto.input.filter((value) => value.name !== SEED);
  forward.graph.proto.output = forward.graph.proto.output.filter((value) => !dependent.has(value.name));
  for (const name of residuals) forward.graph.addOutput(name);
  forward.graph.prune();
  backward.graph.setNodes(
    backward.graph.proto.node.filter((node) => isBackward(node.output) || node.opType === 'Constant'),
  );
  backward.graph.proto.output = backward.graph.proto.output.filter((value) => dependent.has(value.name));
  const used = new Set(backward.graph.nodes.flatMap((node) => node.input));
  backward.graph.proto.input = backward.graph.proto.input.filter((value) => used.has(value.name));
  backward.graph.prune();
  return { forward, backward, residuals: [...residuals] };
}
