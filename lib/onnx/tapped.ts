import type { Session, TensorValue } from '../inference/session.js';
import { resolveOptions } from '../options.js';
import { EXPORTED } from './exported.js';
import { selectLogits } from './head.js';
import type { OnnxModel } from './model.js';
import { prepareModel } from './prepare.js';
import { ancestors, requireTensor } from './queries.js';
import { type BlockTap, transformerBlocks } from './taps.js';
import { type Feeds, openSession } from './types.js';

const COLUMNS = 'logit_tokens';

export interface TappedOptions {
  /** Tensors whose values are wanted, outputs of the model among them. */
  readonly tensors?: readonly string[];
  /** Attention probabilities of every transformer block. Default: false. */
  readonly attentions?: boolean;
  /**
   * Logits of chosen vocabulary entries only, at every position: `run` then takes `tokens`. Default: false.
   */
  readonly logitColumns?: boolean;
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

const DEFAULTS = {
  tensors: [] as readonly string[],
  attentions: false,
  logitColumns: false,
  threads: 1,
  signal: undefined as AbortSignal | undefined,
};

/**
 * A model that also gives inner tensors: attention probabilities, hidden states, selected logits. Forward
 * only.
 */
export class TappedModel {
  readonly blocks: readonly BlockTap[];
  readonly #session: Session;
  readonly #tensors: readonly string[];
  readonly #attentions: boolean;

  private constructor(
    session: Session,
    blocks: readonly BlockTap[],
    tensors: readonly string[],
    attentions: boolean,
  ) {
    this.#session = session;
    this.blocks = blocks;
    this.#tensors = tensors;
    this.#attentions = attentions;
  }

  /** Throws like `DifferentiableModel.load`. */
  static async load(source: string | OnnxModel, options?: TappedOptions): Promise<TappedModel> {
    const resolved = resolveOptions('TappedModel.load', DEFAULTS, options);
    const { tensors, attentions, logitColumns } = resolved;
    const model = await prepareModel(source, undefined, resolved.signal);
    const { graph } = model;
    for (const name of tensors) requireTensor(graph, name, model.source);
    if (logitColumns) selectLogits(model, { columns: COLUMNS });
    const wanted = [...tensors, ...(logitColumns ? [EXPORTED.logits] : [])];
    // Blocks that no wanted tensor depends on (an unused last vision layer) are left out.
    const before = ancestors(graph, wanted.length > 0 ? wanted : graph.outputNames);
    const blocks = transformerBlocks(graph).filter((block) => before.has(block.attention));
    if (attentions) wanted.push(...blocks.map((block) => block.attention));
    graph.proto.output = graph.proto.output.filter((value) => wanted.includes(value.name));
    for (const name of wanted) graph.addOutput(name);
    graph.prune();
    const session = await openSession(model, 'all', resolved.signal, resolved.threads);
    return new TappedModel(session, blocks, [...new Set(wanted)], attentions);
  }

  /** Names of the inputs that the graph reads. */
  get inputs(): readonly string[] {
    return this.#session.inputs.map(({ name }) => name);
  }

  /** Runs forward. Feeds that the graph does not read are ignored. */
  async run(
    feeds: Feeds,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ values: Record<string, TensorValue>; attentions: TensorValue[] }> {
    const known = new Set(this.inputs);
    const given = Object.fromEntries(Object.entries(feeds).filter(([name]) => known.has(name)));
    const values = await this.#session.run(given, { outputs: this.#tensors, ...options });
    const maps = this.#attentions ? this.blocks.map((block) => values[block.attention]) : [];
    return { values, attentions: maps };
  }

  dispose(): void {
    this.#session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
