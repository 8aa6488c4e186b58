import { checkNumber } from '../checks.js';
import { resolveOptions } from '../options.js';
import { ForwardPass, SegmentChain } from './chain.js';
import { ChosenLayout } from './chosen-layout.js';
import { buildExtended, type DifferentiableOptions, differentiableDefaults } from './extended.js';
import { checkMemoryOptions, type Layout, Layouts } from './layouts.js';
import type { MemoryEstimate } from './memory.js';
import type { OnnxModel } from './model.js';
import type { Plan } from './plan.js';
import type { BlockTap } from './taps.js';
import type { Feeds } from './types.js';

export { ForwardPass } from './chain.js';

export interface SplitOptions extends Omit<DifferentiableOptions, 'selectLogits'> {
  /**
   * Part of the available memory, above 0 and up to 1, that a pass may take when `memory` is not given.
   * Default: 1.
   */
  readonly share?: number;
}

const DEFAULTS = { ...differentiableDefaults, share: 1 };

/**
 * A model whose backward pass is a graph of its own: one forward run, then any number of cotangents.
 *
 * What the backward pass needs from the forward one stays in native memory where that fits. Where it does
 * not, only the tensors between transformer blocks are kept, and each block is run forward again just before
 * it is run backward: about one more forward pass, for activations of one block instead of all. The estimate
 * that decides is made before the run.
 *
 * @example
 * const model = await SplitModel.load('vision_encoder.onnx', { output: 'image_features' });
 * using pass = await model.forward({ pixel_values });
 * const { pixel_values: gradient } = await pass.backward(cotangent);
 */
export class SplitModel {
  readonly blocks: readonly BlockTap[];
  readonly #plan: Plan;
  readonly #options: typeof DEFAULTS;
  readonly #layouts: Layouts;
  readonly #sessions: ChosenLayout<SegmentChain>;

  private constructor(source: string, plan: Plan, layouts: Layouts, options: typeof DEFAULTS) {
    this.#plan = plan;
    this.#layouts = layouts;
    this.#options = options;
    this.blocks = plan.blocks;
    const { signal, threads } = options;
    const open = (layout: Layout) => {
      const segments = layouts.segments[layout];
      return SegmentChain.open(segments, { threads, lowMemory: segments.length > 1, signal });
    };
    this.#sessions = new ChosenLayout(source, layouts, open, (chain) => chain.retire());
  }

  /**
   * Builds the graphs of both passes. Their sessions open at the first run, when the sizes of the inputs are
   * known. Throws like `DifferentiableModel.load`.
   */
  static async load(source: string | OnnxModel, options?: SplitOptions): Promise<SplitModel> {
    const given = resolveOptions('SplitModel.load', DEFAULTS, { ...options, selectLogits: false });
    const { checkpoints, memory, share } = given;
    checkMemoryOptions(checkpoints, memory);
    checkNumber('share', share, { above: 0, most: 1 });
    const { model, plan, gradients } = await buildExtended(source, given);
    const layouts = new Layouts(model, plan, gradients, { checkpoints, share, whole: false });
    return new SplitModel(model.source, plan, layouts, given);
  }

  /**
   * Memory of a forward and a backward pass at the sizes of the given feeds, from the shapes of all tensors,
   * without a run.
   *
   * @throws FsynError `UNSUPPORTED_MODEL` when the runtime cannot infer shapes for these feeds
   */
  async estimate(feeds: Feeds, options: { readonly signal?: AbortSignal } = {}): Promise<MemoryEstimate> {
    return this.#layouts.estimate(feeds, options.signal);
  }

  /**
   * Runs forward and keeps what backward runs need until the pass is disposed. Feeds that it does not read
   * are ignored.
   *
   * @param options.memory instead of the budget that the model was loaded with
   * @throws FsynError `OUT_OF_MEMORY` before any work when the pass cannot fit, with what it needs and what
   *   there is; `DISPOSED`
   */
  async forward(
    feeds: Feeds,
    options: { readonly signal?: AbortSignal; readonly memory?: number | undefined } = {},
  ): Promise<ForwardPass> {
    const { memory = this.#options.memory, signal } = options;
    const work = (chain: SegmentChain, known: Feeds) => ForwardPass.run(chain, this.#plan, known, { signal });
    return this.#sessions.use(feeds, { memory, signal }, work);
  }

  /** Closes the sessions once no pass uses them any more. */
  dispose(): void {
    this.#sessions.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
