import ndarray from 'ndarray';
import { describe, FsynError, invalidArgument } from '../errors.js';
import type { Session, TensorValue } from '../inference/session.js';
import { resolveOptions } from '../options.js';
import { type BackwardStatistics, gradientName } from './autodiff/backward.js';
import {
  buildExtended,
  COLUMNS,
  type DifferentiableOptions,
  differentiableDefaults,
  type Plan,
  ROWS,
  SEED,
} from './extended.js';
import type { OnnxModel } from './model.js';
import type { BlockTap } from './taps.js';
import { type Feeds, openSession } from './types.js';

/** One logit: the position (negative counts from the end) and the vocabulary index; or a difference of two. */
export interface LogitTarget {
  readonly position: number;
  readonly token: number;
  /** Another token at the same position whose logit is subtracted. */
  readonly against?: number;
}

export interface GradientResult {
  /** The differentiated tensor: [batch, 1, 1] for a selected logit, [batch, 1, 2] for a difference of two. */
  readonly output: TensorValue;
  /** Gradients by tensor name, each of its tensor's shape. */
  readonly gradients: Readonly<Record<string, TensorValue>>;
  /** Values of exposed tensors by name. */
  readonly values: Readonly<Record<string, TensorValue>>;
  /** Attention probabilities per transformer block, when asked for. */
  readonly attentions: readonly TensorValue[];
  readonly attentionGradients: readonly TensorValue[];
  /** Residual stream behind each block, when asked for. */
  readonly hiddenStates: readonly TensorValue[];
  readonly hiddenStateGradients: readonly TensorValue[];
}

/**
 * A model extended by the backward pass of one of its tensors: gradients, attention maps and hidden states of an ordinary
 * ONNX export, computed by ONNX Runtime. The graph is edited and the session opened once; runs are cheap to repeat.
 *
 * @example
 * const model = await DifferentiableModel.load('decoder_model_merged.onnx', { attentions: true });
 * const { gradients, attentions } = await model.run(feeds, { position: -1, token: 3869 });
 */
export class DifferentiableModel {
  /** The transformer blocks that were recognised, in order. */
  readonly blocks: readonly BlockTap[];
  readonly statistics: BackwardStatistics;
  /** Number of vocabulary entries, when the output is logits and the model says. */
  readonly vocabulary: number | undefined;
  readonly #session: Session;
  readonly #output: string;
  readonly #wrt: readonly string[];
  readonly #expose: readonly string[];
  readonly #selected: boolean;
  readonly #attentions: boolean;
  readonly #hiddenStates: boolean;

  private constructor(session: Session, plan: Plan, statistics: BackwardStatistics) {
    this.#session = session;
    this.#output = plan.output;
    this.#wrt = plan.wrt;
    this.#expose = plan.expose;
    this.#selected = plan.selected;
    this.#attentions = plan.attentions;
    this.#hiddenStates = plan.hiddenStates;
    this.blocks = plan.blocks;
    this.vocabulary = plan.vocabulary;
    this.statistics = statistics;
  }

  /**
   * Builds the extended graph of a model file and opens a session on it; weights stay in the original files.
   *
   * @throws FsynError `MODEL_FILE`; `UNSUPPORTED_MODEL` (operator set below 13); `UNSUPPORTED_OPERATOR` naming the node
   *   and the file; `INVALID_ARGUMENT` for a tensor name that the graph does not have, with similar names
   */
  static async load(
    source: string | OnnxModel,
    options?: DifferentiableOptions,
  ): Promise<DifferentiableModel> {
    const resolved = resolveOptions('DifferentiableModel.load', differentiableDefaults, options);
    const { model, plan, statistics } = await buildExtended(source, resolved);
    const session = await openSession(model, 'all', resolved.signal, resolved.threads);
    return new DifferentiableModel(session, plan, statistics);
  }

  get inputNames(): readonly string[] {
    return this.#session.inputs
      .map((input) => input.name)
      .filter((name) => ![ROWS, COLUMNS, SEED].includes(name));
  }

  /**
   * Runs forward and backward. Feeds that the extended graph does not read are ignored.
   *
   * @param target the logit to differentiate; or the cotangent of `output` (of its shape) when logits are not selected
   * @throws FsynError `INVALID_ARGUMENT` before any work when the token is out of range or the target of the wrong kind
   */
  async run(
    feeds: Feeds,
    target: LogitTarget | TensorValue,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<GradientResult> {
    const known = new Set(this.#session.inputs.map((input) => input.name));
    const given: Record<string, TensorValue> = {};
    for (const [name, value] of Object.entries(feeds)) if (known.has(name)) given[name] = value;
    Object.assign(given, this.#targetFeeds(feeds, target, known));
    const outputs = [this.#output, ...new Set([...this.#expose, ...this.#wrt.map(gradientName)])];
    const result = await this.#session.run(given, { outputs: [...new Set(outputs)], ...options });
    return this.#collect(result);
  }

  dispose(): void {
    this.#session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #targetFeeds(
    feeds: Feeds,
    target: LogitTarget | TensorValue,
    known: ReadonlySet<string>,
  ): Record<string, TensorValue> {
    if ('shape' in target) {
      if (this.#selected) throw invalidArgument('target', 'a position and a token', target);
      return { [SEED]: target };
    }
    if (!this.#selected) throw invalidArgument('target', `a cotangent of ${this.#output}`, target);
    const { position, token, against } = target;
    if (!Number.isInteger(position)) throw invalidArgument('target.position', 'an integer', position);
    this.#checkToken('target.token', token);
    if (against !== undefined) this.#checkToken('target.against', against);
    const tokens = against === undefined ? [token] : [token, against];
    const first = Object.entries(feeds).find(([name]) => known.has(name))?.[1];
    const batch = first?.shape[0] ?? 1;
    const indices = (values: readonly number[]) =>
      ndarray(BigInt64Array.from(values, BigInt), [values.length]) as TensorValue;
    const signs = Float32Array.from({ length: batch * tokens.length }, (_, i) =>
      i % tokens.length === 0 ? 1 : -1,
    );
    const seed = ndarray(signs, [batch, 1, tokens.length]) as TensorValue;
    return { [ROWS]: indices([position]), [COLUMNS]: indices(tokens), [SEED]: seed };
  }

  #checkToken(parameter: string, token: number): void {
    const limit = this.vocabulary ?? 2 ** 31;
    if (Number.isInteger(token) && token >= 0 && token < limit) return;
    throw invalidArgument(parameter, `an integer from 0 to ${limit - 1}`, token);
  }

  #collect(result: Readonly<Record<string, TensorValue>>): GradientResult {
    const value = (name: string): TensorValue => {
      const found = result[name];
      if (!found) throw new FsynError('INFERENCE', `The extended graph gave no ${describe(name)}.`);
      return found;
    };
    const attentions = this.#attentions ? this.blocks.map((block) => block.attention) : [];
    const hidden = this.#hiddenStates
      ? this.blocks.flatMap((block) => (block.output === undefined ? [] : [block.output]))
      : [];
    const gradient = (name: string) => value(gradientName(name));
    const reached = (names: readonly string[]) => names.filter((name) => this.#wrt.includes(name));
    return {
      output: value(this.#output),
      gradients: Object.fromEntries(this.#wrt.map((name) => [name, gradient(name)])),
      values: Object.fromEntries(this.#expose.map((name) => [name, value(name)])),
      attentions: attentions.map(value),
      attentionGradients: reached(attentions).map(gradient),
      hiddenStates: hidden.map(value),
      hiddenStateGradients: reached(hidden).map(gradient),
    };
  }
}
