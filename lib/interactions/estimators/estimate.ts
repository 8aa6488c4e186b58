import { checkInteger, checkNumber, checkOneOf } from '../../checks.js';
import { FsynError, invalidArgument } from '../../errors.js';
import { resolveOptions } from '../../options.js';
import { checkEvaluation, type ValueFunction } from '../coalitions.js';
import { InteractionSet } from '../interaction-set.js';
import { type CrossPairs, Players } from '../players.js';
import { Interactions } from '../result.js';
import {
  type EstimatedIndex,
  type EstimatorName,
  estimatedIndices,
  estimatorNames,
  indicesOf,
  largestOrder,
  mostPlayers,
} from './catalogue.js';
import { chooseEstimator } from './choose.js';
import { Evaluator } from './evaluator.js';
import { checkRegression } from './feasibility.js';
import {
  aggregate,
  aggregateNeeds,
  fromSample,
  momentName,
  type SampleEstimate,
  type WeightedIndex,
} from './from-sample.js';
import { permutationEstimate } from './permutation.js';
import { gaussLegendre, productEstimate } from './product.js';
import { alternatives, indexOfOrder, leastBudget, type Question } from './requirements.js';
import { drawCoalitions } from './sample.js';
import { ModelsExplainNothing, sparseFourier } from './sparse.js';

export interface EstimateOptions {
  /** 'auto' (default) takes what `chooseEstimator` says; the result's provenance names it and says why. */
  readonly estimator: EstimatorName | 'auto';
  readonly index: EstimatedIndex;
  /** Largest interaction size, >= 1; SV and BV take 1 only. */
  readonly order: number;
  /** Smallest size in the result, >= 1. */
  readonly minOrder: number;
  /** Distinct coalitions that may be evaluated ('product': evaluations), the empty and the full one included. */
  readonly budget: number;
  readonly seed: number;
  /** Only interactions with members of both modalities; needed by 'product'. */
  readonly pairs: CrossPairs | null;
  /** Draw coalitions with their complements. */
  readonly paired: boolean;
  /** Inclusion probabilities of 'product' for SII. */
  readonly nodes: number;
  /** Probability of WBII, in 0..1. */
  readonly p: number;
  /** Coalitions per call of the value function. */
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
  /** Called after every batch with evaluations done and expected. */
  readonly onProgress: ((done: number, total: number) => void) | undefined;
}

const DEFAULTS: EstimateOptions = {
  estimator: 'auto',
  index: 'SII',
  order: 2,
  minOrder: 1,
  budget: 1024,
  seed: 0,
  pairs: null,
  paired: true,
  nodes: 3,
  p: 0.5,
  batchSize: 256,
  signal: undefined,
  onProgress: undefined,
};

/**
 * Estimates interaction indices of a game that is too large to enumerate, within a budget of evaluations.
 *
 * The result carries standard errors, the seed and what was spent. The same seed gives the same coalitions.
 *
 * @param players number of players (thousands are fine for order 1) or their names
 * @param value the game, asked for batches of coalitions
 * @throws FsynError INVALID_ARGUMENT for misuse; BUDGET or RANK_DEFICIENT when the budget cannot determine what is asked,
 *   never an arbitrary number
 * @example
 * const result = await estimate(40, value, { budget: 4000, pairs: { image: range(0, 30), text: range(30, 40) } });
 * result.top(10);
 */
export async function estimate(
  players: number | readonly string[],
  value: ValueFunction,
  options: Partial<EstimateOptions> = {},
): Promise<Interactions> {
  const resolved = resolveOptions('estimate', DEFAULTS, options);
  const named = new Players(players);
  const settings = checkSettings(resolved, named);
  checkEvaluation(value, resolved);
  const { set, question } = settings;
  const automatic = resolved.estimator === 'auto';
  const choice = automatic ? chooseEstimator(question, resolved.budget) : null;
  const estimator = choice?.estimator ?? (resolved.estimator as EstimatorName);
  const evaluator = new Evaluator(value, set.sides, resolved.budget, resolved);
  const found = await run(evaluator, settings, { ...resolved, estimator, automatic }).catch((error) => {
    throw evaluator.failedWith(error) ? error : withAlternatives(error, question, resolved.budget, estimator);
  });
  const reason = choice && (found.instead?.reason ?? choice.reason);
  return new Interactions({
    index: resolved.index,
    players: named,
    set,
    values: found.values,
    standardErrors: found.standardErrors,
    baseline: found.baseline,
    device: 'cpu',
    provenance: {
      estimator: found.instead?.estimator ?? estimator,
      ...(reason === null ? {} : { reason }),
      seed: resolved.seed,
      budget: resolved.budget,
      spent: evaluator.spent,
      ...(found.explained === undefined ? {} : { explained: found.explained }),
      ...(found.emptyStrata === undefined ? {} : { emptyStrata: found.emptyStrata }),
    },
  });
}

/** A refusal of a budget that also says what would do. */
function withAlternatives(
  error: unknown,
  question: Question,
  budget: number,
  refused: EstimatorName,
): unknown {
  if (!(error instanceof FsynError) || (error.code !== 'BUDGET' && error.code !== 'RANK_DEFICIENT'))
    return error;
  return new FsynError(error.code, `${error.message} ${alternatives(question, budget, refused)}`, {
    cause: error,
  });
}

interface Settings {
  /** What is returned. */
  readonly set: InteractionSet;
  readonly index: WeightedIndex;
  readonly question: Question;
}

function checkSettings(options: EstimateOptions, players: Players): Settings {
  const { index, nodes, paired, p } = options;
  const named = checkEstimator(options);
  const single = index === 'SV' || index === 'BV';
  const order = single && options.order === DEFAULTS.order ? 1 : options.order;
  if (single && order !== 1) throw invalidArgument('order', `1 for ${index}`, options.order);
  const mostOrder = Math.max(...named.map(largestOrder));
  if (order > mostOrder)
    throw invalidArgument('order', `at most ${mostOrder} for ${options.estimator}`, order);
  checkInteger('minOrder', options.minOrder, 1);
  checkNumbers(options);
  if (typeof paired !== 'boolean') throw invalidArgument('paired', 'true or false', paired);
  checkNumber('p', p, { least: 0, most: 1 });
  const n = players.count;
  if (n < 2) throw invalidArgument('players', 'at least 2 players to estimate', n);
  const most = Math.max(...named.map(mostPlayers));
  if (n > most) {
    throw invalidArgument(
      'players',
      `at most ${most} players for ${options.estimator}, whose weights overflow beyond; 'permutation' takes any number`,
      n,
    );
  }
  const sides = players.sides(options.pairs);
  if (index === 'k-SII' && sides && order > 2)
    throw invalidArgument('order', '2 for k-SII restricted to pairs', order);
  const minOrder = sides ? Math.max(options.minOrder, 2) : options.minOrder;
  return {
    set: new InteractionSet(n, minOrder, order, sides),
    index: index === 'SV' ? 'SII' : index === 'BV' ? 'BII' : index,
    question: { players: n, index: indexOfOrder(index, order), order, minOrder, sides, paired, nodes },
  };
}

/** The estimators that may run: the one that was named, or all that know the index. */
function checkEstimator({ estimator, index }: EstimateOptions): readonly EstimatorName[] {
  if (estimator === 'auto') {
    checkOneOf('index', index, estimatedIndices);
    return estimatorNames.filter((name) => indicesOf(name).includes(index));
  }
  checkOneOf('estimator', estimator, ['auto', ...estimatorNames]);
  if (!indicesOf(estimator).includes(index))
    throw invalidArgument('index', `one of ${indicesOf(estimator).join(', ')} for ${estimator}`, index);
  return [estimator];
}

function checkNumbers({ budget, seed, nodes }: EstimateOptions): void {
  checkInteger('budget', budget, 2);
  checkInteger('seed', seed, 0);
  checkInteger('nodes', nodes, 1);
}

type Found = SampleEstimate & {
  readonly baseline: number;
  readonly explained?: number;
  /** What answered in place of the estimator that was chosen. */
  readonly instead?: { readonly estimator: EstimatorName; readonly reason: string };
};

/** Options with the estimator that runs, and whether it was chosen here. */
type Chosen = EstimateOptions & { readonly estimator: EstimatorName; readonly automatic: boolean };

async function run(evaluator: Evaluator, settings: Settings, options: Chosen): Promise<Found> {
  const { set, index } = settings;
  const { budget, seed, p } = options;
  switch (options.estimator) {
    case 'product': {
      const nodes =
        index === 'BII' || index === 'WBII'
          ? [{ node: index === 'BII' ? 0.5 : p, weight: 1 }]
          : gaussLegendre(options.nodes);
      return productEstimate(evaluator, set, nodes, budget, seed);
    }
    case 'permutation': {
      const whole = aggregateNeeds(index, set);
      const found = await permutationEstimate(evaluator, whole, momentName(index), p, budget, seed);
      return { ...aggregate(found, whole, set, index), baseline: found.baseline };
    }
    default:
      return fromDraw(evaluator, settings, options);
  }
}

/** Draws coalitions, asks for their values and estimates from them. */
async function fromDraw(
  evaluator: Evaluator,
  { set, index, question }: Settings,
  options: Chosen,
): Promise<Found> {
  const { estimator, budget, seed, p, paired, signal } = options;
  const regression = estimator === 'regression' || estimator === 'faithful' || estimator === 'kernel-shap-iq';
  const banzhaf = index === 'FBII' || index === 'BII' || index === 'WBII';
  const uniform = index === 'FBII' || (banzhaf && estimator !== 'shap-iq' && estimator !== 'svarm-iq');
  const sample = drawCoalitions(
    set.players,
    set.maxOrder,
    budget,
    uniform ? 'uniform' : 'shapley',
    paired,
    seed,
  );
  if (regression) checkRegression(estimator, uniform, sample, set.maxOrder);
  const values = await evaluator.values(sample.coalitions);
  const baseline = values[0];
  const y = values.map((value) => value - baseline);
  if (estimator !== 'sparse')
    return { ...(await fromSample(sample, y, set, index, options, signal)), baseline };
  try {
    return { ...(await sparseFourier(sample, y, set, index, p, seed, signal)), baseline };
  } catch (error) {
    // What was evaluated is not thrown away where the choice was ours.
    const moments = { ...options, estimator: 'svarm-iq' } as const;
    const helps = leastBudget('svarm-iq', question) <= budget;
    if (!options.automatic || !(error instanceof ModelsExplainNothing) || !helps) throw error;
    const reason = `sparse models of the same ${budget} coalitions explained nothing of those held out`;
    const found = await fromSample(sample, y, set, index, moments, signal);
    return { ...found, baseline, instead: { estimator: 'svarm-iq', reason } };
  }
}
