import { FsynError, invalidArgument } from '../errors.js';
import type { TensorValue } from '../inference/session.js';
import { resolveOptions } from '../options.js';
import { ForwardPass, SegmentChain } from './chain.js';
import {
  buildExtended,
  type DifferentiableOptions,
  differentiableDefaults,
  type Plan,
  SEED,
} from './extended.js';
import { boundSizes, type MemoryEstimate, passMemory, refusal, totalBytes, usableMemory } from './memory.js';
import type { OnnxModel } from './model.js';
import { cutIntoSegments, type Segment } from './segments.js';
import { tensorSizes } from './sizes.js';
import type { BlockTap } from './taps.js';
import type { Feeds } from './types.js';

export { ForwardPass } from './chain.js';

/** `auto`: keep everything where it fits, else put a checkpoint behind every transformer block; or one of the two. */
export type Checkpoints = 'auto' | 'always' | 'never';

export interface SplitOptions extends Omit<DifferentiableOptions, 'selectLogits'> {
  /** What is kept for the backward pass. Default: `auto`. */
  readonly checkpoints?: Checkpoints;
  /** Bytes that one pass may take. Default: what the system (or its container) has available at the time of the run. */
  readonly memory?: number;
  /** Part of the available memory, above 0 and up to 1, that a pass may take when `memory` is not given. Default: 1. */
  readonly share?: number;
}

const DEFAULTS = {
  ...differentiableDefaults,
  checkpoints: 'auto' as Checkpoints,
  memory: undefined as number | undefined,
  share: 1,
};

type Layout = 'plain' | 'checkpointed';

/**
 * A model whose backward pass is a graph of its own: one forward run, then any number of cotangents.
 *
 * What the backward pass needs from the forward one stays in native memory where that fits. Where it does not, only the tensors between
 * transformer blocks are kept, and each block is run forward again just before it is run backward: about one more forward
 * pass, for activations of one block instead of all. The estimate that decides is made before the run.
 *
 * @example
 * const model = await SplitModel.load('vision_encoder.onnx', { output: 'image_features' });
 * using pass = await model.forward({ pixel_values });
 * const { pixel_values: gradient } = await pass.backward(cotangent);
 */
export class SplitModel {
  readonly blocks: readonly BlockTap[];
  readonly #model: OnnxModel;
  readonly #plan: Plan;
  readonly #options: typeof DEFAULTS;
  readonly #segments: Readonly<Record<Layout, readonly Segment[]>>;
  #open: { readonly layout: Layout; readonly chain: Promise<SegmentChain> } | undefined;
  /** Extents of inputs that were found to fit in the open layout. */
  #fitting: { readonly extents: ReadonlyMap<string, readonly number[]>; readonly bytes: number } | undefined;

  private constructor(
    model: OnnxModel,
    plan: Plan,
    segments: Readonly<Record<Layout, readonly Segment[]>>,
    options: typeof DEFAULTS,
  ) {
    this.#model = model;
    this.#plan = plan;
    this.#segments = segments;
    this.#options = options;
    this.blocks = plan.blocks;
  }

  /**
   * Builds the graphs of both passes. Their sessions open at the first run, when the sizes of the inputs are known.
   * Throws like `DifferentiableModel.load`.
   */
  static async load(source: string | OnnxModel, options?: SplitOptions): Promise<SplitModel> {
    const given = resolveOptions('SplitModel.load', DEFAULTS, { ...options, selectLogits: false });
    const { checkpoints, memory, share, ...rest } = given;
    if (!['auto', 'always', 'never'].includes(checkpoints)) {
      throw invalidArgument('checkpoints', 'auto, always or never', checkpoints);
    }
    if (memory !== undefined && !(memory > 0))
      throw invalidArgument('memory', 'a number of bytes > 0', memory);
    if (!(share > 0 && share <= 1)) throw invalidArgument('share', 'a number above 0 and up to 1', share);
    const { model, plan, gradients } = await buildExtended(source, rest);
    const cuts = plan.blocks.flatMap(({ output }) =>
      output !== undefined && model.graph.producerOf(output) ? [output] : [],
    );
    const plain = cutIntoSegments(model, plan, [], gradients);
    const checkpointed = cuts.length > 0 ? cutIntoSegments(model, plan, cuts, gradients) : plain;
    return new SplitModel(model, plan, { plain, checkpointed }, given);
  }

  /**
   * Memory of a forward and a backward pass at the sizes of the given feeds, from the shapes of all tensors, without a run.
   *
   * @throws FsynError `UNSUPPORTED_MODEL` when the runtime cannot infer shapes for these feeds
   */
  async estimate(feeds: Feeds, options: { readonly signal?: AbortSignal } = {}): Promise<MemoryEstimate> {
    const given = this.#known(feeds);
    const sizes = await this.#sizes(given, options.signal);
    const unknown = boundSizes(this.#model, sizes);
    const fed = Object.keys(given).reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
    const { plain, checkpointed } = this.#segments;
    return {
      plain: passMemory(plain, sizes, fed, false),
      checkpointed: passMemory(checkpointed, sizes, fed, checkpointed.length > 1),
      segments: checkpointed.length,
      unknown,
    };
  }

  /**
   * Runs forward and keeps what backward runs need until the pass is disposed. Feeds that it does not read are ignored.
   *
   * @param options.memory instead of the budget that the model was loaded with
   * @throws FsynError `OUT_OF_MEMORY` before any work when the pass cannot fit, with what it needs and what there is
   */
  async forward(
    feeds: Feeds,
    options: { readonly signal?: AbortSignal; readonly memory?: number | undefined } = {},
  ): Promise<ForwardPass> {
    const { memory, ...rest } = options;
    const layout = await this.#choose(feeds, memory ?? this.#options.memory, options.signal);
    const chain = await this.#chain(layout);
    return ForwardPass.run(chain, this.#plan, this.#known(feeds), rest);
  }

  /** Closes the sessions once no pass uses them any more. */
  dispose(): void {
    this.#retire();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #known(feeds: Feeds): Feeds {
    const { graph } = this.#model;
    const names = graph.inputNames.filter((name) => name !== SEED && graph.consumersOf(name).length > 0);
    const missing = names.filter((name) => feeds[name] === undefined);
    if (missing.length > 0) {
      throw new FsynError('INVALID_ARGUMENT', `Missing model inputs: ${missing.join(', ')}.`);
    }
    return Object.fromEntries(names.map((name) => [name, feeds[name] as TensorValue]));
  }

  async #sizes(feeds: Feeds, signal: AbortSignal | undefined): Promise<Map<string, number>> {
    try {
      return await tensorSizes(this.#model, feeds, [[SEED, this.#plan.output]], signal);
    } catch (cause) {
      signal?.throwIfAborted();
      const message = `${this.#model.source}: the runtime cannot infer the sizes of its tensors, so the memory of a pass is unknown; choose checkpoints always or never.`;
      throw new FsynError('UNSUPPORTED_MODEL', message, { cause });
    }
  }

  async #choose(feeds: Feeds, memory: number | undefined, signal: AbortSignal | undefined): Promise<Layout> {
    const { checkpoints, share } = this.#options;
    const open = this.#open?.layout;
    const known = this.#known(feeds);
    // What the open sessions took for these sizes before is theirs already.
    if (open && this.#covers(known) && (memory === undefined || (this.#fitting?.bytes ?? 0) <= memory)) {
      return open;
    }
    const estimate = await this.estimate(feeds, signal ? { signal } : {}).catch((error) => {
      signal?.throwIfAborted();
      if (checkpoints === 'auto' || memory !== undefined) throw error;
      return undefined;
    });
    if (!estimate) return checkpoints === 'always' ? 'checkpointed' : 'plain';
    const budget = memory ?? share * usableMemory() + (this.#fitting?.bytes ?? 0);
    const fits = (layout: Layout) => totalBytes(estimate[layout]) <= budget;
    const layout: Layout | undefined =
      checkpoints !== 'always' && open !== 'checkpointed' && fits('plain') && estimate.unknown.length === 0
        ? 'plain'
        : checkpoints !== 'never' && fits('checkpointed')
          ? 'checkpointed'
          : checkpoints === 'never' && fits('plain')
            ? 'plain'
            : undefined;
    if (!layout) throw refusal(this.#model.source, estimate, budget, checkpoints);
    this.#fitting = { extents: extentsOf(known), bytes: totalBytes(estimate[layout]) };
    return layout;
  }

  /** Whether inputs of at least these extents were found to fit before. */
  #covers(feeds: Feeds): boolean {
    const known = this.#fitting?.extents;
    return Object.entries(feeds).every(([name, value]) => {
      const extents = known?.get(name);
      return (
        extents?.length === value.shape.length && value.shape.every((d, i) => d <= (extents[i] as number))
      );
    });
  }

  #chain(layout: Layout): Promise<SegmentChain> {
    if (this.#open?.layout === layout) return this.#open.chain;
    this.#retire();
    const segments = this.#segments[layout];
    const { signal, threads } = this.#options;
    const chain = SegmentChain.open(segments, { threads, lowMemory: segments.length > 1, signal });
    const open = { layout, chain };
    this.#open = open;
    // A failed or aborted opening must not stay.
    chain.catch(() => {
      if (this.#open === open) this.#open = undefined;
    });
    return chain;
  }

  #retire(): void {
    this.#open?.chain.then((chain) => chain.retire()).catch(() => undefined);
    this.#open = undefined;
  }
}

function extentsOf(feeds: Feeds): ReadonlyMap<string, readonly number[]> {
  return new Map(Object.entries(feeds).map(([name, value]: [string, TensorValue]) => [name, value.shape]));
}
