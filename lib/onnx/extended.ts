import { checkInteger, checkNumber, checkOneOf } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';
import type { TensorValue } from '../inference/session.js';
import { resolveOptions } from '../options.js';
import { appendBackward, type BackwardStatistics, gradientName } from './autodiff/backward.js';
import type { Gamma, Mode } from './autodiff/rule.js';
import { withEqualAxes } from './axes.js';
import { EXPORTED } from './exported.js';
import { selectLogits } from './head.js';
import type { Checkpoints, MemoryOptions } from './layouts.js';
import type { OnnxModel } from './model.js';
import { COLUMNS, type Plan, ROWS, SEED } from './plan.js';
import { prepareModel } from './prepare.js';
import { ancestors, requireTensor } from './queries.js';
import { simplify } from './simplify.js';
import { transformerBlocks } from './taps.js';
import { discoverTypes, type Feeds, int64Feed, madeUpFeeds, type TensorTypes } from './types.js';

export interface DifferentiableOptions extends MemoryOptions {
  /**
   * `grad` (default), or the modified gradients of AttnLRP or CP-LRP: times the tensor, they are its
   * relevance.
   */
  readonly mode?: Mode;
  /**
   * Strength of the Gamma rule of the LRP modes in layers with constant weights. Default: 0, the epsilon
   * rule.
   */
  readonly gamma?: Gamma;
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
  /**
   * Compute only the logit of the target (rows and columns chosen before the head). Default: true for
   * `logits`.
   */
  readonly selectLogits?: boolean;
  /**
   * Inputs of one small run that finds ranks, or several to be tried in turn. Batch and sequence should be
   * distinct sizes above 1; with sizes of 1 the extended graph is larger. Default: made up from the declared
   * inputs.
   */
  readonly probe?: Feeds | readonly Feeds[];
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

export const differentiableDefaults = {
  mode: 'grad' as Mode,
  gamma: undefined as Gamma | undefined,
  output: EXPORTED.logits as string,
  wrt: undefined as readonly string[] | undefined,
  expose: [] as readonly string[],
  attentions: false,
  hiddenStates: false,
  selectLogits: undefined as boolean | undefined,
  probe: undefined as Feeds | readonly Feeds[] | undefined,
  checkpoints: 'auto' as Checkpoints,
  memory: undefined as number | undefined,
  threads: 1,
  signal: undefined as AbortSignal | undefined,
};

export type ResolvedOptions = typeof differentiableDefaults;

/** The graph of a model with the backward pass appended, reduced to what the plan computes. */
export async function buildExtended(
  source: string | OnnxModel,
  options: ResolvedOptions,
): Promise<{
  model: OnnxModel;
  plan: Plan;
  statistics: BackwardStatistics;
  gradients: ReadonlyMap<string, string>;
}> {
  checkOneOf('mode', options.mode, ['grad', 'attnlrp', 'cplrp']);
  checkGamma(options);
  const { threads } = options;
  checkInteger('threads', threads, 1);
  const probes = options.probe === undefined ? [] : [options.probe].flat();
  const model = await prepareModel(source, probes.at(-1), options.signal);
  const plan = makePlan(model, options);
  if (plan.selected) selectLogits(model, { logits: plan.output, rows: ROWS, columns: COLUMNS });
  const computed = [...plan.expose, ...plan.wrt].filter((name) => model.graph.producerOf(name));
  reduceTo(model, [plan.output, ...computed]);
  model.graph.sort();
  const types = withEqualAxes(model, await probedTypes(model, probes, options.signal));
  const blocks = plan.blocks.flatMap(({ output }) => output ?? []);
  simplify(model, types, new Set([plan.output, ...plan.expose, ...plan.wrt, ...blocks]));
  const { gradients, ...statistics } = appendBackward(model, {
    mode: options.mode,
    gamma: options.gamma,
    output: plan.output,
    seed: SEED,
    wrt: plan.wrt,
    types,
  });
  reduceTo(model, [plan.output, ...plan.expose, ...plan.wrt.map(gradientName)]);
  return { model, plan, statistics, gradients };
}

/** Leaves what the given tensors are computed from. */
function reduceTo({ graph }: OnnxModel, tensors: readonly string[]): void {
  const wanted = new Set(tensors);
  graph.proto.output = graph.proto.output.filter((value) => wanted.has(value.name));
  for (const name of wanted) graph.addOutput(name);
  graph.prune();
}

function checkGamma({ gamma, mode }: ResolvedOptions): void {
  if (gamma === undefined) return;
  const { conv, linear } = resolveOptions('gamma', { conv: 0, linear: 0 }, gamma);
  for (const [name, value] of Object.entries({ conv, linear })) {
    checkNumber(`gamma.${name}`, value, { least: 0 });
  }
  if (mode === 'grad' && conv + linear > 0) throw invalidArgument('gamma', 'a mode of LRP beside it', mode);
}

function makePlan(model: OnnxModel, options: ResolvedOptions): Plan {
  const { graph, source } = model;
  const { output, attentions, hiddenStates } = options;
  const wrt = options.wrt ?? [firstFloatingInput(model)];
  for (const name of [output, ...wrt, ...options.expose]) requireTensor(graph, name, source);
  // Blocks behind the differentiated tensor (an unused last vision layer) have no gradient.
  const before = ancestors(graph, [output]);
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
    selected: options.selectLogits ?? output === EXPORTED.logits,
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

/** The last dimension of the head's weight or of the declared output. */
function vocabularyOf(model: OnnxModel, output: string): number | undefined {
  const { graph } = model;
  const declared = graph.proto.output
    .find((value) => value.name === output)
    ?.type?.tensorType?.shape?.dim.at(-1);
  if (declared && Object.hasOwn(declared, 'dimValue')) return Number(declared.dimValue);
  const head = graph.producerOf(output);
  const weight = head?.opType === 'MatMul' ? graph.initializers.get(head.input[1]) : undefined;
  return weight ? Number(weight.dims[1]) : undefined;
}

async function probedTypes(
  model: OnnxModel,
  probes: readonly Feeds[],
  signal?: AbortSignal,
): Promise<TensorTypes> {
  const selection = { [ROWS]: int64Feed([0, 0]), [COLUMNS]: int64Feed([0, 0, 0]) };
  const inputs = new Set(model.graph.inputNames);
  let cause: unknown;
  for (const probe of probes.length > 0 ? probes : [madeUpFeeds(model.graph)]) {
    const feeds: Record<string, TensorValue> = {};
    for (const [name, value] of Object.entries({ ...probe, ...selection }))
      if (inputs.has(name)) feeds[name] = value;
    try {
      return await discoverTypes(model, feeds, signal);
    } catch (error) {
      signal?.throwIfAborted();
      cause = error;
    }
  }
  const which = probes.length > 0 ? 'the given probe inputs' : 'made-up inputs; give the option probe';
  const message = `${model.source}: the run that finds tensor ranks failed with ${which}.`;
  throw new FsynError('UNSUPPORTED_MODEL', message, { cause });
}
