import { checkInteger } from '../checks.js';
import { describe, FsynError, invalidArgument } from '../errors.js';
import type { TensorValue } from '../inference/session.js';
import { toNdArray } from '../inference/tensor.js';
import { resolveOptions } from '../options.js';
import { type BackwardStatistics, gradientName } from './autodiff/backward.js';
import { ForwardPass, SegmentChain } from './chain.js';
import { ChosenLayout } from './chosen-layout.js';
import { sequenceOf } from './exported.js';
import {
  buildExtended,
  type DifferentiableOptions,
  differentiableDefaults,
  type ResolvedOptions,
} from './extended.js';
import { checkMemoryOptions, type Layout, Layouts } from './layouts.js';
import type { MemoryEstimate } from './memory.js';
import type { OnnxModel } from './model.js';
import { COLUMNS, type Plan, ROWS, SEED } from './plan.js';
import type { Segment } from './segments.js';
import type { BlockTap } from './taps.js';
import { type Feeds, int64Feed, openSession } from './types.js';

/**
 * One logit: the position (negative counts from the end) and the vocabulary index; or a difference of two.
 */
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
 * A model extended by the backward pass of one of its tensors: gradients, attention maps and hidden states of
 * an ordinary ONNX export, computed by ONNX Runtime. The graph is edited once and the session opened at the
 * first run, when the sizes of the inputs are known; runs are cheap to repeat. Where one run of everything
 * does not fit into memory, only the tensors between transformer blocks are kept, and each block is run
 * forward again before it is run backward, as `SplitModel` does.
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
  readonly #model: OnnxModel;
  readonly #plan: Plan;
  readonly #layouts: Layouts;
  readonly #options: ResolvedOptions;
  readonly #sessions: ChosenLayout<Runner>;

  private constructor(
    model: OnnxModel,
    plan: Plan,
    statistics: BackwardStatistics,
    layouts: Layouts,
    options: ResolvedOptions,
  ) {
    this.#model = model;
    this.#plan = plan;
    this.#layouts = layouts;
    this.#options = options;
    this.blocks = plan.blocks;
    this.vocabulary = plan.vocabulary;
    this.statistics = statistics;
    const open = (layout: Layout) =>
      layout === 'plain'
        ? openWhole(model, plan, options)
        : openSegments(layouts.segments[layout], plan, options);
    this.#sessions = new ChosenLayout(model.source, layouts, open, ({ close }) => close());
  }

  /**
   * Builds the extended graph of a model file; weights stay in the original files.
   *
   * @throws FsynError `MODEL_FILE`; `UNSUPPORTED_MODEL` (operator set below 13); `UNSUPPORTED_OPERATOR`
   *   naming the node and the file; `INVALID_ARGUMENT` for a tensor name that the graph does not have, with
   *   similar names
   */
  static async load(
    source: string | OnnxModel,
    options?: DifferentiableOptions,
  ): Promise<DifferentiableModel> {
    const resolved = resolveOptions('DifferentiableModel.load', differentiableDefaults, options);
    const { checkpoints, memory } = resolved;
    checkMemoryOptions(checkpoints, memory);
    const { model, plan, statistics, gradients } = await buildExtended(source, resolved);
    const layouts = new Layouts(model, plan, gradients, { checkpoints, share: 1, whole: true });
    return new DifferentiableModel(model, plan, statistics, layouts, resolved);
  }

  get inputNames(): readonly string[] {
    return this.#model.graph.inputNames.filter((name) => ![ROWS, COLUMNS, SEED].includes(name));
  }

  /**
   * Memory of a run at the sizes of the given feeds, from the shapes of all tensors, without a run.
   *
   * @throws FsynError `UNSUPPORTED_MODEL` when the runtime cannot infer shapes for these feeds
   */
  estimate(
    feeds: Feeds,
    target: LogitTarget | TensorValue,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<MemoryEstimate> {
    return this.#layouts.estimate({ ...feeds, ...this.#targetFeeds(feeds, target) }, options.signal);
  }

  /**
   * Runs forward and backward. Feeds that the extended graph does not read are ignored.
   *
   * @param target the logit to differentiate; or the cotangent of `output` (of its shape) when logits are not
   *   selected
   * @param options.memory instead of the budget that the model was loaded with
   * @throws FsynError `INVALID_ARGUMENT` before any work when the token is out of range or the target of the
   *   wrong kind; `OUT_OF_MEMORY` before any work when the run cannot fit, with what it needs and what there
   *   is; `DISPOSED`
   */
  async run(
    feeds: Feeds,
    target: LogitTarget | TensorValue,
    options: { readonly signal?: AbortSignal; readonly memory?: number | undefined } = {},
  ): Promise<GradientResult> {
    const { memory = this.#options.memory, signal } = options;
    const { [SEED]: seed, ...selection } = this.#targetFeeds(feeds, target);
    const work = ({ run }: Runner, known: Feeds) => run(known, seed as TensorValue, { signal });
    return this.#collect(await this.#sessions.use({ ...feeds, ...selection }, { memory, signal }, work));
  }

  /** Closes the sessions once no run uses them any more. */
  dispose(): void {
    this.#sessions.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #targetFeeds(feeds: Feeds, target: LogitTarget | TensorValue): Record<string, TensorValue> {
    const { selected, output } = this.#plan;
    if ('shape' in target) {
      if (selected) throw invalidArgument('target', 'a position and a token', target);
      return { [SEED]: target };
    }
    if (!selected) throw invalidArgument('target', `a cotangent of ${output}`, target);
    const { position, token, against } = target;
    checkPosition(feeds, position);
    this.#checkToken('target.token', token);
    if (against !== undefined) this.#checkToken('target.against', against);
    const tokens = against === undefined ? [token] : [token, against];
    const read = new Set(this.inputNames);
    const first = Object.entries(feeds).find(([name]) => read.has(name))?.[1];
    const batch = first?.shape[0] ?? 1;
    const signs = Float32Array.from({ length: batch * tokens.length }, (_, i) =>
      i % tokens.length === 0 ? 1 : -1,
    );
    const seed = toNdArray(signs, [batch, 1, tokens.length]);
    return { [ROWS]: int64Feed([position]), [COLUMNS]: int64Feed(tokens), [SEED]: seed };
  }

  #checkToken(parameter: string, token: number): void {
    checkInteger(parameter, token, 0, (this.vocabulary ?? 2 ** 31) - 1);
  }

  #collect(result: Readonly<Record<string, TensorValue>>): GradientResult {
    const { output, wrt, expose, ...plan } = this.#plan;
    const value = (name: string): TensorValue => {
      const found = result[name];
      if (!found) throw new FsynError('INFERENCE', `The extended graph gave no ${describe(name)}.`);
      return found;
    };
    const attentions = plan.attentions ? this.blocks.map((block) => block.attention) : [];
    const hidden = plan.hiddenStates
      ? this.blocks.flatMap((block) => (block.output === undefined ? [] : [block.output]))
      : [];
    const gradient = (name: string) => value(gradientName(name));
    const reached = (names: readonly string[]) => names.filter((name) => wrt.includes(name));
    return {
      output: value(output),
      gradients: Object.fromEntries(wrt.map((name) => [name, gradient(name)])),
      values: Object.fromEntries(expose.map((name) => [name, value(name)])),
      attentions: attentions.map(value),
      attentionGradients: reached(attentions).map(gradient),
      hiddenStates: hidden.map(value),
      hiddenStateGradients: reached(hidden).map(gradient),
    };
  }
}

/**
 * The sequence is the second axis of what decoders take under these names; other graphs only know at the run.
 */
function checkPosition(feeds: Feeds, position: number): void {
  const length = sequenceOf(feeds)?.shape[1];
  if (length === undefined) checkInteger('target.position', position);
  else checkInteger('target.position', position, -length, length - 1);
}

interface Runner {
  /** Values of the output, of exposed tensors and of gradients by name. */
  readonly run: (
    feeds: Feeds,
    seed: TensorValue,
    options: { readonly signal?: AbortSignal },
  ) => Promise<Readonly<Record<string, TensorValue>>>;
  readonly close: () => void;
}

/** One session for both passes. */
async function openWhole(model: OnnxModel, plan: Plan, options: ResolvedOptions): Promise<Runner> {
  const session = await openSession(model, 'all', options.signal, options.threads);
  const reads = new Set(session.inputs.map(({ name }) => name));
  const outputs = [...new Set([plan.output, ...plan.expose, ...plan.wrt.map(gradientName)])];
  return {
    run: (feeds, seed, rest) => {
      const given = Object.entries({ ...feeds, [SEED]: seed }).filter(([name]) => reads.has(name));
      return session.run(Object.fromEntries(given), { outputs, ...rest });
    },
    close: () => session.dispose(),
  };
}

/** Sessions of one transformer block each, which read their weights from the file. */
async function openSegments(
  segments: readonly Segment[],
  plan: Plan,
  { threads, signal }: ResolvedOptions,
): Promise<Runner> {
  const chain = await SegmentChain.open(segments, { threads, lowMemory: segments.length > 1, signal });
  return {
    run: async (feeds, seed, rest) => {
      using pass = await ForwardPass.run(chain, plan, feeds, rest);
      const gradients = await pass.backward(seed, rest);
      const named = Object.entries(gradients).map(([name, gradient]) => [gradientName(name), gradient]);
      return { ...pass.values, [plan.output]: pass.output, ...Object.fromEntries(named) };
    },
    close: () => chain.retire(),
  };
}
