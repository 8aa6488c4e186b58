import { FsynError } from '../../errors.js';
import type { Session, TensorValue } from '../../inference/session.js';
import { toNdArray } from '../../inference/tensor.js';
import { Leases } from '../../lease.js';
import { gradientName } from '../../onnx/autodiff/backward.js';
import { EXPORTED } from '../../onnx/exported.js';
import { buildExtended, differentiableDefaults } from '../../onnx/extended.js';
import { Fitting } from '../../onnx/fitting.js';
import type { DifferentiableOptions, OnnxModel } from '../../onnx/index.js';
import { beside } from '../../onnx/join.js';
import { boundSizes, totalBytes, usableMemory, wholeMemory } from '../../onnx/memory.js';
import { type Plan, SEED } from '../../onnx/plan.js';
import { tensorSizes } from '../../onnx/sizes.js';
import { type Feeds, int64Feed, openSession } from '../../onnx/types.js';
import { resolveOptions } from '../../options.js';
import { connectImage, type Glue, seedFromTarget } from './glue.js';
import { averageHeads } from './head-maps.js';
import type { Target } from './target.js';

/** What names of the vision graph begin with in the joined one. */
const VISION = 'vision/';
/** The decoder's input that the image is merged into. */
const EMBEDDINGS = EXPORTED.embeddings;

/** What the runtime says of a graph, rather than of how it was called. */
const GRAPH_ERRORS = new Set<string>(['INFERENCE', 'MODEL_FILE', 'OUT_OF_MEMORY', 'UNSUPPORTED_OPERATOR']);

export interface JoinedPart {
  readonly source: string | OnnxModel;
  /** With `attentions` heads are averaged (`averageHeads`); the attentions themselves are not given. */
  readonly options: DifferentiableOptions;
}

/** What a run explains. */
export interface JoinedTarget {
  readonly token: number;
  /** The other token of `contrast`; undefined for the largest logit besides the token's. */
  readonly rival: number | undefined;
  readonly target: Target;
}

/**
 * What the image is and where it goes; without it the decoder runs alone on embeddings that hold it already.
 */
export interface JoinedImage {
  readonly feeds: Feeds;
  /** Position in the sequence of every image feature. */
  readonly positions: Int32Array;
}

export interface JoinedResult {
  readonly logits: TensorValue;
  /**
   * Values and gradients of the decoder's wanted tensors, `inputs_embeds` among them, and of the vision
   * graph's.
   */
  readonly decoder: JoinedTensors;
  readonly vision: JoinedTensors;
  /** The vision graph's output. */
  readonly features: TensorValue | undefined;
}

export interface JoinedTensors {
  readonly values: Readonly<Record<string, TensorValue>>;
  readonly gradients: Readonly<Record<string, TensorValue>>;
  /** What `averageHeads` gives, by block; empty unless asked for. */
  readonly maps: readonly TensorValue[];
}

/** What one graph of the joined one computes. */
interface Computed {
  readonly plan: Plan;
  readonly maps: readonly string[];
}

/**
 * Vision graph, merge and decoder, forward and backward, in one session: one run takes pixels to their
 * gradient, and the runtime plans memory and fuses over all of it. Every activation exists at its time, so it
 * takes the memory of keeping everything.
 */
export class JoinedChain {
  readonly vocabulary: number | undefined;
  readonly #model: OnnxModel;
  readonly #decoder: Computed;
  readonly #vision: Computed | undefined;
  readonly #sessions = new Leases<'joined', Session>((session) => session.dispose());
  #refused = false;
  readonly #fitting = new Fitting();

  private constructor(model: OnnxModel, decoder: Computed, vision: Computed | undefined) {
    this.#model = model;
    this.#decoder = decoder;
    this.#vision = vision;
    this.vocabulary = decoder.plan.vocabulary;
  }

  /**
   * Builds the joined graph; its session opens at the first run that fits. Throws like
   * `DifferentiableModel.load`.
   *
   * @returns undefined where the two graphs do not go into one file
   */
  static async load(decoder: JoinedPart, vision?: JoinedPart): Promise<JoinedChain | undefined> {
    const seen = vision && (await extended(vision));
    const read = await extended(decoder);
    const model = seen ? beside(seen.model, read.model, VISION) : read.model;
    if (!model) return undefined;
    const glue: Glue = { graph: model.graph, logits: read.plan.output, seed: SEED };
    seedFromTarget(glue);
    if (seen) {
      connectImage(glue, {
        embeddings: EMBEDDINGS,
        embeddingGradient: gradientName(EMBEDDINGS),
        features: VISION + seen.plan.output,
        featureGradient: VISION + SEED,
      });
      model.graph.addOutput(EMBEDDINGS);
    }
    model.graph.touch();
    model.graph.sort();
    return new JoinedChain(model, read, seen);
  }

  /**
   * One forward and one backward pass.
   *
   * @param embeddings [points, length, hidden]: of the text tokens, or of all where there is no image
   * @returns undefined where that does not surely fit into the memory (bytes; by default what the system has
   *   available), or the runtime does not take the graph
   */
  async run(
    embeddings: TensorValue,
    feeds: Feeds,
    target: JoinedTarget,
    image: JoinedImage | undefined,
    options: { readonly memory: number | undefined; readonly signal?: AbortSignal },
  ): Promise<JoinedResult | undefined> {
    const source: Feeds = image
      ? { ...imageFeeds(image, embeddings), token_embeddings: embeddings }
      : { [EMBEDDINGS]: embeddings };
    const given = this.#known({ ...feeds, ...targetFeeds(target), ...source });
    if (!(await this.#fits(given, options.memory, options.signal))) {
      this.dispose();
      return undefined;
    }
    const made = await this.#made(given, options.signal);
    if (!made) return undefined;
    // Embeddings that were fed are not computed.
    const results: Record<string, TensorValue> = { [EMBEDDINGS]: embeddings, ...made };
    return {
      logits: results[this.#decoder.plan.output],
      decoder: tensorsOf(results, this.#decoder, ''),
      vision: this.#vision
        ? tensorsOf(results, this.#vision, VISION)
        : { values: {}, gradients: {}, maps: [] },
      features: this.#vision && results[VISION + this.#vision.plan.output],
    };
  }

  /** Outputs by name; undefined where the runtime does not take the joined graph, from then on. */
  async #made(feeds: Feeds, signal: AbortSignal | undefined) {
    if (this.#refused) return undefined;
    try {
      return await this.#sessions.use(
        'joined',
        () => openSession(this.#model, 'all'),
        (session) => session.run(feeds, { signal }),
      );
    } catch (error) {
      signal?.throwIfAborted();
      // Each graph by itself may still run, in less memory, and names the file where it does not.
      if (!(error instanceof FsynError) || !GRAPH_ERRORS.has(error.code)) throw error;
      this.#refused = true;
      this.dispose();
      return undefined;
    }
  }

  /** Closes the session behind its last run; a later one opens it again. */
  dispose(): void {
    void this.#sessions.retire();
  }

  #known(feeds: Feeds): Feeds {
    const { graph } = this.#model;
    const read = graph.inputNames.filter((name) => graph.consumersOf(name).length > 0);
    return Object.fromEntries(read.flatMap((name) => (feeds[name] ? [[name, feeds[name]]] : [])));
  }

  async #fits(feeds: Feeds, memory: number | undefined, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#fitting.covers(feeds, memory)) return true;
    let sizes: Map<string, number>;
    try {
      sizes = await tensorSizes(this.#model, feeds, [], signal);
    } catch {
      signal?.throwIfAborted();
      return false;
    }
    const unknown = boundSizes(this.#model, sizes);
    const fed = Object.keys(feeds).reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
    const bytes = totalBytes(wholeMemory(this.#model, sizes, fed, 0));
    const budget = memory ?? usableMemory() + this.#fitting.bytes;
    if (unknown.length > 0 || bytes > budget) return false;
    this.#fitting.found(feeds, bytes);
    return true;
  }
}

async function extended({ source, options }: JoinedPart) {
  const { model, plan } = await buildExtended(
    source,
    resolveOptions('JoinedChain.load', differentiableDefaults, {
      ...options,
      selectLogits: false,
    }),
  );
  if (!options.attentions) return { model, plan, maps: [] };
  const attentions = plan.blocks.map(({ attention }) => attention);
  const without = (names: readonly string[]) => names.filter((name) => !attentions.includes(name));
  const maps = averageHeads(model, attentions, true);
  return { model, plan: { ...plan, wrt: without(plan.wrt), expose: without(plan.expose) }, maps };
}

function tensorsOf(
  results: Readonly<Record<string, TensorValue>>,
  { plan, maps }: Computed,
  prefix: string,
): JoinedTensors {
  const pick = (names: readonly string[], stored: (name: string) => string) =>
    Object.fromEntries(names.map((name) => [name, results[prefix + stored(name)]]));
  const values = prefix === '' ? [...plan.expose, EMBEDDINGS] : plan.expose;
  return {
    values: pick(values, (name) => name),
    gradients: pick(plan.wrt, gradientName),
    maps: maps.map((name) => results[prefix + name]),
  };
}

function numbers(value: number): TensorValue {
  return toNdArray(Float32Array.of(value), [1]);
}

function targetFeeds({ token, rival, target }: JoinedTarget): Feeds {
  return {
    target_token: int64Feed([token]),
    target_rival: int64Feed([rival ?? -1]),
    rival_weight: numbers(target === 'contrast' ? 1 : 0),
    softmax_weight: numbers(target === 'log-probability' || target === 'probability' ? 1 : 0),
    probability_weight: numbers(target === 'probability' ? 1 : 0),
  };
}

/** The sequence is picked from the text's rows and, behind them, the image's. */
function imageFeeds({ feeds, positions }: JoinedImage, embeddings: TensorValue): Feeds {
  const length = embeddings.shape[1];
  const rows = Int32Array.from({ length }, (_, row) => row);
  for (const [i, position] of positions.entries()) rows[position] = length + i;
  const seen = Object.entries(feeds).map(([name, value]) => [VISION + name, value]);
  return { ...Object.fromEntries(seen), merge_rows: int64Feed(rows), image_rows: int64Feed(positions) };
}
