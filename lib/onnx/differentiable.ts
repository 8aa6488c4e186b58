import ndarray from 'ndarray';
import { describe, FsynError, invalidArgument } from '../errors.js';
import type { Session, TensorValue } from '../inference/session.js';
import { resolveOptions } from '../options.js';
import { appendBackward, type BackwardStatistics, gradientName } from './autodiff/backward.js';
import type { Mode } from './autodiff/rule.js';
import { selectLogits } from './head.js';
import type { OnnxModel } from './model.js';
import { prepareModel } from './prepare.js';
import { requireTensor } from './queries.js';
import { type BlockTap, transformerBlocks } from './taps.js';
import { discoverTypes, type Feeds, openSession, syntheticFeeds, type TensorTypes } from './types.js';

const ROWS = 'logit_positions';
const COLUMNS = 'logit_tokens';
const SEED = 'gradient_seed';

export interface DifferentiableOptions {
  /** `grad` (default), or the modified gradients of AttnLRP or CP-LRP: times the tensor, they are its relevance. */
  readonly mode?: Mode;
  /** The tensor to differentiate. Default: `logits`. */
  readonly output?: string;
  /** Tensors (inputs or intermediates) to take gradients of. Default: the first floating input. */
  readonly wrt?: readonly string[];
  /** Further tensors whose values are wanted. */
  readonly expose?: readonly string[];
  /** Attention probabilities and their gradients of every transformer block. Default: false. */
  readonly attentions?: boolean;
  /** The residual stream behind every transformer block and its gradients. Default: false. */
  readonly hiddenStates?: boolean;
  /** Compute only the logit of the target (rows and columns chosen before the head). Default: true for `logits`. */
  readonly selectLogits?: boolean;
  /**
   * Inputs of one small run that finds ranks. Default: made up from the declared inputs; batch and sequence should be
   * distinct sizes above 1.
   */
  readonly probe?: Feeds;
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

/** One logit: the position (negative counts from the end) and the vocabulary index. */
export interface LogitTarget {
  readonly position: number;
  readonly token: number;
}

export interface GradientResult {
  /** The differentiated tensor: [batch, 1, 1] for a selected logit. */
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

const DEFAULTS = {
  mode: 'grad' as Mode,
  output: 'logits',
  wrt: undefined as readonly string[] | undefined,
  expose: [] as readonly string[],
  attentions: false,
  hiddenStates: false,
  selectLogits: undefined as boolean | undefined,
  probe: undefined as Feeds | undefined,
  threads: 1,
  signal: undefined as AbortSignal | undefined,
};

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
    const resolved = resolveOptions('DifferentiableModel.load', DEFAULTS, options);
    if (!['grad', 'attnlrp', 'cplrp'].includes(resolved.mode)) {
      throw invalidArgument('mode', 'grad, attnlrp or cplrp', resolved.mode);
    }
    const model = await prepareModel(source, resolved.probe, resolved.signal);
    const plan = makePlan(model, resolved);
    if (plan.selected) selectLogits(model, { logits: plan.output, rows: ROWS, columns: COLUMNS });
    const types = await probedTypes(model, resolved.probe, resolved.signal);
    const statistics = appendBackward(model, {
      mode: resolved.mode,
      output: plan.output,
      seed: SEED,
      wrt: plan.wrt,
      types,
    });
    const wanted = new Set([plan.output, ...plan.expose, ...plan.wrt.map(gradientName)]);
    model.graph.proto.output = model.graph.proto.output.filter((value) => wanted.has(value.name));
    for (const name of wanted) model.graph.addOutput(name);
    model.graph.prune();
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
    const { position, token } = target;
    if (!Number.isInteger(position)) throw invalidArgument('target.position', 'an integer', position);
    const limit = this.vocabulary ?? 2 ** 31;
    if (!Number.isInteger(token) || token < 0 || token >= limit) {
      throw invalidArgument('target.token', `an integer from 0 to ${limit - 1}`, token);
    }
    const first = Object.entries(feeds).find(([name]) => known.has(name))?.[1];
    const batch = first?.shape[0] ?? 1;
    const one = (value: number) => ndarray(BigInt64Array.of(BigInt(value)), [1]) as TensorValue;
    const seed = ndarray(new Float32Array(batch).fill(1), [batch, 1, 1]) as TensorValue;
    return { [ROWS]: one(position), [COLUMNS]: one(token), [SEED]: seed };
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

interface Plan {
  readonly output: string;
  readonly wrt: readonly string[];
  readonly expose: readonly string[];
  readonly blocks: readonly BlockTap[];
  readonly selected: boolean;
  readonly attentions: boolean;
  readonly hiddenStates: boolean;
  readonly vocabulary: number | undefined;
}

function makePlan(model: OnnxModel, options: typeof DEFAULTS): Plan {
  const { graph, source } = model;
  const { output, attentions, hiddenStates } = options;
  const wrt = options.wrt ?? [firstFloatingInput(model)];
  for (const name of [output, ...wrt, ...options.expose]) requireTensor(graph, name, source);
  // Blocks behind the differentiated tensor (an unused last vision layer) have no gradient.
  const before = ancestors(model, output);
  const blocks = transformerBlocks(graph).filter((block) => before.has(block.attention));
  const states = blocks.flatMap((block) =>
    block.output !== undefined && before.has(block.output) ? [block.output] : [],
  );
  if ((attentions || hiddenStates) && blocks.length === 0) {
    throw new FsynError(
      'UNSUPPORTED_MODEL',
      `${source}: no attention was found before ${JSON.stringify(output)}.`,
    );
  }
  const taps = [
    ...(attentions ? blocks.map((block) => block.attention) : []),
    ...(hiddenStates ? states : []),
  ];
  return {
    output,
    wrt: [...new Set([...wrt, ...taps])],
    expose: [...new Set([...options.expose, ...taps])],
    blocks,
    selected: options.selectLogits ?? output === 'logits',
    attentions,
    hiddenStates,
    vocabulary: vocabularyOf(model, output),
  };
}

function firstFloatingInput(model: OnnxModel): string {
  const found = model.graph.proto.input.find((value) => {
    const type = value.type?.tensorType?.elemType;
    return (type === 1 || type === 10) && !model.graph.initializers.has(value.name);
  });
  if (!found) throw new FsynError('MODEL_CONTRACT', `${model.source} has no floating-point input.`);
  return found.name;
}

function ancestors(model: OnnxModel, output: string): Set<string> {
  const found = new Set([output]);
  const pending = [output];
  while (pending.length > 0) {
    for (const input of model.graph.producerOf(pending.pop() as string)?.input ?? []) {
      if (input && !found.has(input)) {
        found.add(input);
        pending.push(input);
      }
    }
  }
  return found;
}

/** The last dimension of the head's weight or of the declared output. */
function vocabularyOf(model: OnnxModel, output: string): number | undefined {
  const { graph } = model;
  const declared = graph.proto.output
    .find((value) => value.name === output)
    ?.type?.tensorType?.shape?.dim.at(-1);
  if (declared && Object.hasOwn(declared, 'dimValue')) return Number(declared.dimValue);
  const head = graph.producerOf(output);
  const weight = head?.opType === 'MatMul' ? graph.initializers.get(head.input[1] as string) : undefined;
  return weight ? Number(weight.dims[1]) : undefined;
}

async function probedTypes(
  model: OnnxModel,
  probe: Feeds | undefined,
  signal?: AbortSignal,
): Promise<TensorTypes> {
  const selection = { [ROWS]: integers([0, 0]), [COLUMNS]: integers([0, 0, 0]) };
  const inputs = new Set(model.graph.inputNames);
  const withSelection = (feeds: Feeds): Feeds => {
    const all: Record<string, TensorValue> = { ...feeds };
    for (const [name, value] of Object.entries(selection)) if (inputs.has(name)) all[name] = value;
    return all;
  };
  if (probe) return discoverTypes(model, withSelection(probe), signal);
  const session = await openSession(model, 'disable', signal);
  const made = syntheticFeeds(session.inputs);
  session.dispose();
  try {
    return await discoverTypes(model, withSelection(made), signal);
  } catch (error) {
    signal?.throwIfAborted();
    const message = `${model.source}: a run with made-up inputs to find tensor ranks failed; give the option probe.`;
    throw new FsynError('UNSUPPORTED_MODEL', message, { cause: error });
  }
}

function integers(values: readonly number[]): TensorValue {
  return ndarray(BigInt64Array.from(values, BigInt), [values.length]) as TensorValue;
}
