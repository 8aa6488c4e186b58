import { checkBytes, checkOneOf } from '../checks.js';
import { FsynError } from '../errors.js';
import type { TensorValue } from '../inference/session.js';
import { toNdArray } from '../inference/tensor.js';
import { isCache, sequenceOf } from './exported.js';
import { Fitting } from './fitting.js';
import { declaredShape, type OnnxGraph } from './graph.js';
import {
  boundSizes,
  type MemoryEstimate,
  passMemory,
  refusal,
  totalBytes,
  usableMemory,
  wholeMemory,
} from './memory.js';
import type { OnnxModel } from './model.js';
import { type Plan, SEED } from './plan.js';
import { cutIntoSegments, type Segment } from './segments.js';
import { tensorSizes } from './sizes.js';
import type { Feeds } from './types.js';

/**
 * `auto`: keep everything where it fits, else put a checkpoint behind every transformer block; or one of the
 * two.
 */
export type Checkpoints = 'auto' | 'always' | 'never';

export type Layout = 'plain' | 'checkpointed';

export interface MemoryOptions {
  /** What is kept for the backward pass. Default: `auto`. */
  readonly checkpoints?: Checkpoints;
  /**
   * Bytes that one pass may take. Default: what the system (or its container) has available at the time of
   * the run.
   */
  readonly memory?: number;
}

/** @throws FsynError `INVALID_ARGUMENT` */
export function checkMemoryOptions(checkpoints: Checkpoints, memory: number | undefined): void {
  checkOneOf('checkpoints', checkpoints, ['auto', 'always', 'never']);
  checkBytes('memory', memory);
}

interface LayoutOptions {
  readonly checkpoints: Checkpoints;
  /** Part of the available memory that a pass may take when no budget is given. */
  readonly share: number;
  /** Whether the plain layout is one graph for both passes instead of one for each. */
  readonly whole: boolean;
}

/**
 * Decides before a run whether all activations are kept or only checkpoints, from the sizes of all tensors;
 * or refuses.
 */
export class Layouts {
  readonly segments: Readonly<Record<Layout, readonly Segment[]>>;
  readonly #model: OnnxModel;
  readonly #output: string;
  readonly #options: LayoutOptions;
  /** What was found to fit in the open layout. */
  readonly #fitting = new Fitting();

  constructor(model: OnnxModel, plan: Plan, gradients: ReadonlyMap<string, string>, options: LayoutOptions) {
    const cuts = plan.blocks.flatMap(({ output }) =>
      output !== undefined && model.graph.producerOf(output) ? [output] : [],
    );
    const plain = cutIntoSegments(model, plan, [], gradients);
    const checkpointed = cuts.length > 0 ? cutIntoSegments(model, plan, cuts, gradients) : plain;
    this.segments = { plain, checkpointed };
    this.#model = model;
    this.#output = plan.output;
    this.#options = options;
  }

  /**
   * The feeds that the graph reads; caches of keys and values that are not fed are empty.
   *
   * @throws FsynError `INVALID_ARGUMENT` when one is missing
   */
  known(feeds: Feeds): Feeds {
    const { graph } = this.#model;
    const names = graph.inputNames.filter((name) => name !== SEED && graph.consumersOf(name).length > 0);
    const batch = sequenceOf(feeds)?.shape[0] ?? 1;
    const found = names.map((name) => [name, feeds[name] ?? emptyCache(graph, name, batch)] as const);
    const missing = found.flatMap(([name, value]) => (value === undefined ? [name] : []));
    if (missing.length > 0) {
      throw new FsynError('INVALID_ARGUMENT', `Missing model inputs: ${missing.join(', ')}.`);
    }
    return Object.fromEntries(found) as Feeds;
  }

  async estimate(feeds: Feeds, signal: AbortSignal | undefined): Promise<MemoryEstimate> {
    const given = this.known(feeds);
    const sizes = await this.#sizes(given, signal);
    const unknown = boundSizes(this.#model, sizes);
    const fed = Object.keys(given).reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
    const { plain, checkpointed } = this.segments;
    const apart = passMemory(plain, sizes, fed, false);
    return {
      plain: this.#options.whole ? wholeMemory(this.#model, sizes, fed, apart.kept) : apart,
      checkpointed: passMemory(checkpointed, sizes, fed, checkpointed.length > 1),
      segments: checkpointed.length,
      unknown,
    };
  }

  /**
   * The layout for a run on these feeds, given which one is open.
   *
   * @param memory bytes that the run may take; undefined for a share of what is available
   * @throws FsynError `OUT_OF_MEMORY`; `UNSUPPORTED_MODEL` when sizes cannot be inferred and the choice
   *   depends on them
   */
  async choose(
    feeds: Feeds,
    memory: number | undefined,
    open: Layout | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Layout> {
    const { checkpoints, share } = this.#options;
    const known = this.known(feeds);
    // What the open sessions took for these sizes before is theirs already.
    if (open && this.#fitting.covers(known, memory)) return open;
    const estimate = await this.estimate(feeds, signal).catch((error) => {
      signal?.throwIfAborted();
      if (checkpoints === 'auto' || memory !== undefined) throw error;
      return undefined;
    });
    if (!estimate) return checkpoints === 'always' ? 'checkpointed' : 'plain';
    const budget = memory ?? share * usableMemory() + this.#fitting.bytes;
    const layout = this.#fittingLayout(estimate, budget, open);
    if (!layout) throw refusal(this.#model.source, estimate, budget, checkpoints);
    this.#fitting.found(known, totalBytes(estimate[layout]));
    return layout;
  }

  #fittingLayout(estimate: MemoryEstimate, budget: number, open: Layout | undefined): Layout | undefined {
    const { checkpoints } = this.#options;
    const fits = (layout: Layout) => totalBytes(estimate[layout]) <= budget;
    if (checkpoints === 'never') return fits('plain') ? 'plain' : undefined;
    const sure = checkpoints === 'auto' && open !== 'checkpointed' && estimate.unknown.length === 0;
    if (sure && fits('plain')) return 'plain';
    return fits('checkpointed') ? 'checkpointed' : undefined;
  }

  async #sizes(feeds: Feeds, signal: AbortSignal | undefined): Promise<Map<string, number>> {
    try {
      return await tensorSizes(this.#model, feeds, [[SEED, this.#output]], signal);
    } catch (cause) {
      signal?.throwIfAborted();
      const message = `${this.#model.source}: the runtime cannot infer the sizes of its tensors, so the memory of a pass is unknown; choose checkpoints always or never.`;
      throw new FsynError('UNSUPPORTED_MODEL', message, { cause });
    }
  }
}

/** Keys or values of no token, [batch, heads, 0, size], for inputs that exports for generation call so. */
function emptyCache(graph: OnnxGraph, name: string, batch: number): TensorValue | undefined {
  if (!isCache(name)) return undefined;
  const value = graph.proto.input.find((input) => input.name === name);
  const [, heads, , size] = (value && declaredShape(value)) ?? [];
  if (typeof heads !== 'number' || typeof size !== 'number') return undefined;
  return toNdArray(new Float32Array(0), [batch, heads, 0, size]);
}
