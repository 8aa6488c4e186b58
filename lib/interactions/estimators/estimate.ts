import { FsynError, invalidArgument } from '../../errors.js';
import { resolveOptions } from '../../options.js';
import { checkEvaluation, type ValueFunction } from '../coalitions.js';
import { Players } from '../players.js';
import type { Provenance } from '../provenance.js';
import { Interactions } from '../result.js';
import type { EstimatorName } from './catalogue.js';
import { chooseEstimator } from './choose.js';
import { Evaluator } from './evaluator.js';
import { checkRegression } from './feasibility.js';
import { aggregate, aggregateNeeds, fromSample, momentName, type SampleEstimate } from './from-sample.js';
import { type Coalitions, givenSample } from './given.js';
import { permutationEstimate } from './permutation.js';
import { gaussLegendre, productEstimate } from './product.js';
import { alternatives, leastBudget, type Question } from './requirements.js';
import { type CoalitionSample, drawCoalitions } from './sample.js';
import { checkSettings, DEFAULTS, type EstimateOptions, type Settings } from './settings.js';
import { sparseFourier } from './sparse.js';
import { inUnit } from './unit.js';

/**
 * Estimates interaction indices of a game that is too large to enumerate, within a budget of evaluations.
 *
 * The result carries standard errors, the seed and what was spent. The same seed gives the same coalitions.
 *
 * @param players number of players (thousands are fine for order 1) or their names
 * @param value the game, asked for batches of coalitions
 * @throws FsynError INVALID_ARGUMENT for misuse; BUDGET or RANK_DEFICIENT when the budget cannot determine
 *   what is asked, never an arbitrary number
 * @example
 * const result = await estimate(40, value, { budget: 4000, pairs: { image: range(0, 30), text: range(30, 40)
 * } }); result.top(10);
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
  const choice = resolved.estimator === 'auto' ? chooseEstimator(question, resolved.budget) : null;
  const estimator = choice?.estimator ?? (resolved.estimator as EstimatorName);
  const evaluator = new Evaluator(value, set.sides, resolved.budget, resolved);
  const found = await run(evaluator, settings, { ...resolved, estimator }).catch((error) => {
    throw evaluator.failedWith(error) ? error : withAlternatives(error, question, resolved.budget, estimator);
  });
  return resultOf(found, named, settings, resolved, {
    estimator,
    ...(choice === null ? {} : { reason: choice.reason }),
    seed: resolved.seed,
    budget: resolved.budget,
    spent: evaluator.spent,
  });
}

/** Options of `estimateFrom`: those of `estimate` that are not about drawing and asking. */
export type EstimateFromOptions = Pick<
  EstimateOptions,
  'estimator' | 'index' | 'order' | 'minOrder' | 'seed' | 'pairs' | 'p' | 'signal'
>;

/**
 * Estimates interaction indices from coalitions whose values are known already, for example from a table of
 * an earlier run. Of each size, the coalitions are taken for a uniform draw; a size of which all are there
 * counts as it is. What is not a draw of this kind (every coalition near one image, say) gives estimates of
 * another game, which no number here can tell.
 *
 * Every estimator works that does not need coalitions of its own ('product' and 'permutation' do). `seed`
 * decides which coalitions 'sparse' holds out.
 *
 * @param players number of players or their names
 * @param coalitions a batch, or a list of the present players of each; the empty and the full one among them.
 *   One that is there more than once, with the same value, counts as often
 * @param values one finite number per coalition
 * @throws FsynError INVALID_ARGUMENT for misuse; BUDGET or RANK_DEFICIENT when the coalitions cannot
 *   determine what is asked
 * @example
 * const batch = CoalitionBatch.fromMasks(12, masks); // Uint8Array of shape [coalitions, 12]
 * const result = await estimateFrom(12, batch, values, { index: 'SII', order: 2 });
 */
export async function estimateFrom(
  players: number | readonly string[],
  coalitions: Coalitions,
  values: ArrayLike<number>,
  options: Partial<EstimateFromOptions> = {},
): Promise<Interactions> {
  const { estimator, index, order, minOrder, seed, pairs, p, signal } = DEFAULTS;
  const defaults = { estimator, index, order, minOrder, seed, pairs, p, signal };
  const named = new Players(players);
  const { sample, values: known } = givenSample(named, coalitions, values);
  const budget = sample.sizes.length;
  const resolved = { ...DEFAULTS, ...resolveOptions('estimateFrom', defaults, options), budget };
  if (resolved.estimator === 'product' || resolved.estimator === 'permutation')
    throw invalidArgument('estimator', 'one that takes any coalitions', resolved.estimator);
  const settings = checkSettings(resolved, named);
  const choice = resolved.estimator === 'auto' ? chooseEstimator(settings.question, budget, 'given') : null;
  const taken = choice?.estimator ?? (resolved.estimator as EstimatorName);
  const chosen = { ...resolved, estimator: taken };
  checkSample(sample, settings, chosen);
  const found = await fromValues(sample, known, settings, chosen);
  const spent = new Evaluator(() => [], settings.set.sides, 0, resolved).spentOn(sample.coalitions);
  return resultOf(found, named, settings, resolved, {
    estimator: taken,
    ...(choice === null ? {} : { reason: choice.reason }),
    given: true,
    seed: resolved.seed,
    budget,
    spent,
  });
}

function resultOf(
  found: Found,
  players: Players,
  { set }: Settings,
  { index }: EstimateOptions,
  provenance: Provenance,
): Interactions {
  return new Interactions({
    index,
    players,
    set,
    values: found.values,
    standardErrors: found.standardErrors,
    baseline: found.baseline,
    device: 'cpu',
    provenance: {
      ...provenance,
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

type Found = SampleEstimate & { readonly baseline: number; readonly explained?: number };

/** Options with the estimator that runs. */
type Chosen = EstimateOptions & { readonly estimator: EstimatorName };

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
    default: {
      const { maxOrder, players } = set;
      const weights = isUniform(settings, options) ? 'uniform' : 'shapley';
      const sample = drawCoalitions(players, maxOrder, budget, weights, options.paired, seed);
      checkSample(sample, settings, options);
      return fromValues(sample, await evaluator.values(sample.coalitions), settings, options);
    }
  }
}

/** True where all coalitions are equally important: the fits of Banzhaf's indices. */
function isUniform({ index }: Settings, { estimator }: Chosen): boolean {
  const banzhaf = index === 'BII' || index === 'WBII';
  return index === 'FBII' || (banzhaf && estimator !== 'shap-iq' && estimator !== 'svarm-iq');
}

/** Refuses coalitions that cannot determine what is asked, before they are evaluated. */
function checkSample(sample: CoalitionSample, settings: Settings, options: Chosen): void {
  const { estimator } = options;
  const { question, set } = settings;
  const count = sample.sizes.length;
  if (estimator === 'regression' || estimator === 'faithful' || estimator === 'kernel-shap-iq') {
    checkRegression(estimator, isUniform(settings, options), sample, set.maxOrder);
    return;
  }
  const least = leastBudget(estimator, question);
  if (count < least && least < Number.POSITIVE_INFINITY) {
    throw new FsynError(
      'BUDGET',
      `'${estimator}' of order ${question.order} over ${question.players} players takes at least ${least} coalitions, got ${count}.`,
    );
  }
}

/** Estimates from a sample of coalitions and their values. */
async function fromValues(
  sample: CoalitionSample,
  values: Float64Array,
  { set, index }: Settings,
  options: Chosen,
): Promise<Found> {
  const { estimator, seed, p, signal } = options;
  const baseline = values[sample.sizes.indexOf(0)];
  const found = await inUnit(values, (scaled, unit) => {
    const y = scaled.map((value) => value - baseline / unit);
    return estimator === 'sparse'
      ? sparseFourier(sample, y, set, index, p, seed, signal)
      : fromSample(sample, y, set, index, options, signal);
  });
  return { ...found, baseline };
}
