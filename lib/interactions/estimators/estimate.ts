import { FsynError, invalidArgument } from '../../errors.js';
import { resolveOptions } from '../../options.js';
import type { ValueFunction } from '../coalitions.js';
import { InteractionSet } from '../interaction-set.js';
import { type CrossPairs, Players } from '../players.js';
import { Interactions } from '../result.js';
import { dividendWeights } from '../weights.js';
import { Evaluator } from './evaluator.js';
import { checkRegression, type RegressionName } from './feasibility.js';
import { type Estimate, type MomentIndex, type StratifiedEstimate, shapIq, svarmIq } from './moments.js';
import { permutationEstimate } from './permutation.js';
import { gaussLegendre, productEstimate } from './product.js';
import {
  additiveShapley,
  faithfulBanzhaf,
  faithfulShapley,
  kernelShapIq,
  polynomialValues,
} from './regression.js';
import { type CoalitionSample, drawCoalitions } from './sample.js';
import { sparseFourier } from './sparse.js';

/**
 * How interactions are estimated:
 *
 * - 'regression' (default): order-2 polynomial by weighted least squares on paired coalitions, and SVARM-IQ of what it
 *   leaves over; the most accurate per evaluation once there are n (n - 1) + 2 of them. Orders 1 and 2.
 * - 'product': crossed image and text states, for cross-modal pairs; the most accurate per image encoding. Order 2.
 * - 'permutation': permutations with shared prefixes. Orders 1 and 2, unbiased, no minimum beyond one visit of each pair.
 * - 'shap-iq', 'svarm-iq': moment estimators for any order; 'shap-iq' is unbiased, 'svarm-iq' where no stratum is empty (see
 *   `provenance.emptyStrata`). 'kernel-shap-iq': consistent regression for SII.
 * - 'faithful': the regression that defines FSII, FBII or kADD-SHAP.
 * - 'sparse': a Fourier model with few coefficients, chosen by what they predict. For games with few strong interactions, of
 *   any size up to 4, and budgets below what a regression needs; refuses when coalitions held out are not predicted.
 */
export type EstimatorName =
  | 'regression'
  | 'product'
  | 'permutation'
  | 'shap-iq'
  | 'svarm-iq'
  | 'kernel-shap-iq'
  | 'faithful'
  | 'sparse';

/** Indices that estimators know. */
export type EstimatedIndex = 'SV' | 'BV' | MomentIndex | 'k-SII' | 'kADD-SHAP';

const SUPPORT: Readonly<Record<EstimatorName, readonly EstimatedIndex[]>> = {
  regression: ['SV', 'BV', 'SII', 'k-SII', 'STII', 'CHII', 'BII'],
  product: ['SII', 'k-SII', 'BII', 'WBII'],
  permutation: ['SV', 'BV', 'SII', 'k-SII', 'STII', 'CHII', 'BII', 'WBII'],
  'shap-iq': ['SV', 'BV', 'SII', 'k-SII', 'STII', 'CHII', 'BII', 'WBII', 'FSII', 'FBII'],
  'svarm-iq': ['SV', 'BV', 'SII', 'k-SII', 'STII', 'CHII', 'BII', 'WBII', 'FSII', 'FBII'],
  'kernel-shap-iq': ['SV', 'SII', 'k-SII'],
  faithful: ['SV', 'BV', 'FSII', 'FBII', 'kADD-SHAP'],
  sparse: ['SV', 'BV', 'SII', 'k-SII', 'STII', 'CHII', 'BII', 'WBII', 'FSII', 'FBII', 'kADD-SHAP'],
};

/** Estimators that know an index, best first. */
export function estimatorsOf(index: EstimatedIndex): EstimatorName[] {
  return (Object.keys(SUPPORT) as EstimatorName[]).filter((name) => SUPPORT[name].includes(index));
}

export interface EstimateOptions {
  readonly estimator: EstimatorName;
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
  estimator: 'regression',
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

/** Binomial coefficients of more players are beyond double precision. */
const MOST_SAMPLED = 1000;

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
  if (typeof value !== 'function')
    throw invalidArgument('value', 'a function of batches of coalitions', value);
  const { set } = settings;
  const evaluator = new Evaluator(value, set.sides, resolved.budget, resolved);
  const found = await run(evaluator, settings, resolved);
  return new Interactions({
    index: resolved.index,
    players: named,
    set,
    values: found.values,
    standardErrors: found.standardErrors,
    baseline: found.baseline,
    device: 'cpu',
    provenance: {
      estimator: resolved.estimator,
      seed: resolved.seed,
      budget: resolved.budget,
      spent: evaluator.spent,
      ...(found.explained === undefined ? {} : { explained: found.explained }),
      ...(found.emptyStrata === undefined ? {} : { emptyStrata: found.emptyStrata }),
    },
  });
}

interface Settings {
  /** What is returned. */
  readonly set: InteractionSet;
  /** Index whose weights are used: SV and BV are orders 1 of SII and BII. */
  readonly index: Exclude<EstimatedIndex, 'SV' | 'BV'>;
}

function checkSettings(options: EstimateOptions, players: Players): Settings {
  const { estimator, index, budget, seed, batchSize, nodes, p } = options;
  if (!(estimator in SUPPORT))
    throw invalidArgument('estimator', `one of ${Object.keys(SUPPORT).join(', ')}`, estimator);
  if (!SUPPORT[estimator].includes(index)) {
    throw invalidArgument('index', `one of ${SUPPORT[estimator].join(', ')} for ${estimator}`, index);
  }
  const single = index === 'SV' || index === 'BV';
  const order = single && options.order === DEFAULTS.order ? 1 : options.order;
  if (single && order !== 1) throw invalidArgument('order', `1 for ${index}`, options.order);
  const mostOrder =
    estimator === 'product' || estimator === 'regression' || estimator === 'permutation' ? 2 : 8;
  if (order > mostOrder) throw invalidArgument('order', `at most ${mostOrder} for ${estimator}`, order);
  if (!Number.isInteger(options.minOrder) || options.minOrder < 1) {
    throw invalidArgument('minOrder', 'an integer >= 1', options.minOrder);
  }
  for (const [name, number, least] of [
    ['budget', budget, 2],
    ['seed', seed, 0],
    ['batchSize', batchSize, 1],
    ['nodes', nodes, 1],
  ] as const) {
    if (!Number.isSafeInteger(number) || number < least)
      throw invalidArgument(name, `an integer >= ${least}`, number);
  }
  if (typeof p !== 'number' || !(p >= 0 && p <= 1)) throw invalidArgument('p', 'a number in 0..1', p);
  if (players.count < 2) throw invalidArgument('players', 'at least 2 players to estimate', players.count);
  if (players.count > MOST_SAMPLED && estimator !== 'permutation' && estimator !== 'product') {
    throw invalidArgument(
      'players',
      `at most ${MOST_SAMPLED} players for ${estimator}, whose weights overflow beyond; 'permutation' takes any number`,
      players.count,
    );
  }
  const sides = players.sides(options.pairs);
  if (index === 'k-SII' && sides && order > 2)
    throw invalidArgument('order', '2 for k-SII restricted to pairs', order);
  const minOrder = sides ? Math.max(options.minOrder, 2) : options.minOrder;
  return {
    set: new InteractionSet(players.count, minOrder, order, sides),
    index: index === 'SV' ? 'SII' : index === 'BV' ? 'BII' : index,
  };
}

type Found = SampleEstimate & { readonly baseline: number; readonly explained?: number };

/** An estimate, and for 'svarm-iq' how much of it no draw decided. */
type SampleEstimate = Estimate & Partial<Pick<StratifiedEstimate, 'emptyStrata'>>;

async function run(evaluator: Evaluator, { set, index }: Settings, options: EstimateOptions): Promise<Found> {
  const n = set.players;
  const { budget, seed, p, signal } = options;
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
      const fitted = options.estimator === 'regression' || options.estimator === 'faithful';
      const uniform = options.estimator === 'sparse' || index === 'FBII' || (index === 'BII' && fitted);
      const weights = uniform ? 'uniform' : 'shapley';
      const sample = drawCoalitions(n, set.maxOrder, budget, weights, options.paired, seed);
      if (fitted || options.estimator === 'kernel-shap-iq')
        checkRegression(options.estimator as RegressionName, uniform, sample, set.maxOrder);
      const values = await evaluator.values(sample.coalitions);
      const baseline = values[0];
      const y = values.map((value) => value - baseline);
      if (options.estimator === 'sparse') {
        return { ...(await sparseFourier(sample, y, set, index, p, seed, signal)), baseline };
      }
      return { ...(await fromSample(sample, y, set, index, options, signal)), baseline };
    }
  }
}

/** The moment estimators' name of an index; k-SII and kADD-SHAP are made from SII's. */
function momentName(index: Settings['index']): MomentIndex {
  return index === 'k-SII' || index === 'kADD-SHAP' ? 'SII' : index;
}

/** An estimate from values (less v(empty)) of a drawn sample: exported for conformance tests on given samples. */
export async function fromSample(
  sample: CoalitionSample,
  y: Float64Array,
  set: InteractionSet,
  index: Settings['index'],
  { estimator, p }: Pick<EstimateOptions, 'estimator' | 'p'>,
  signal: AbortSignal | undefined,
): Promise<SampleEstimate> {
  const full = () => new InteractionSet(set.players, 1, set.maxOrder);
  switch (estimator) {
    case 'regression':
      return fromPolynomial(sample, y, set, index, p, signal);
    case 'kernel-shap-iq': {
      const found = await kernelShapIq(sample, y, set.maxOrder, signal);
      return aggregate(found, full(), set, index);
    }
    case 'faithful': {
      const fit =
        index === 'FBII' || index === 'BII'
          ? faithfulBanzhaf
          : index === 'kADD-SHAP'
            ? additiveShapley
            : faithfulShapley;
      return select(await fit(sample, y, set.maxOrder, signal), full(), set);
    }
    case 'shap-iq': {
      const whole = aggregateNeeds(index, set);
      return aggregate(await shapIq(sample, y, whole, momentName(index), p, signal), whole, set, index);
    }
    case 'svarm-iq': {
      const whole = aggregateNeeds(index, set);
      const found = await svarmIq(sample, y, whole, momentName(index), p, signal);
      return { ...aggregate(found, whole, set, index), emptyStrata: found.emptyStrata };
    }
    default:
      throw new FsynError('INVALID_ARGUMENT', `${estimator} does not work on a sample of coalitions.`);
  }
}

/** Which interactions must be estimated for the wanted ones: k-SII of an order needs SII of the orders above it. */
function aggregateNeeds(index: Settings['index'], set: InteractionSet): InteractionSet {
  if (index !== 'k-SII' || set.sides || set.minOrder === set.maxOrder) return set;
  return new InteractionSet(set.players, set.minOrder, set.maxOrder);
}

/** k-SII from SII (Bordt & von Luxburg 2023); errors as if the values were independent. */
function aggregate(
  found: Estimate,
  from: InteractionSet,
  to: InteractionSet,
  index: Settings['index'],
): Estimate {
  if (index !== 'k-SII') return select(found, from, to);
  const values = found.values.slice();
  const variances = found.standardErrors.map((error) => error * error);
  for (let at = 0; at < from.length; at++) {
    const members = from.at(at);
    forEachSubset(members, from.minOrder, (subset) => {
      if (subset.length === members.length) return;
      const factor = bernoulliOf(members.length - subset.length);
      const position = from.position(subset);
      if (factor === 0 || position < 0) return;
      values[position] += factor * found.values[at];
      variances[position] += factor * factor * found.standardErrors[at] ** 2;
    });
  }
  return select({ values, standardErrors: variances.map(Math.sqrt) }, from, to);
}

const BERNOULLI = [1, -1 / 2, 1 / 6, 0, -1 / 30, 0, 1 / 42, 0];

function bernoulliOf(j: number): number {
  return BERNOULLI[j];
}

function forEachSubset(members: Int32Array, least: number, visit: (subset: number[]) => void): void {
  for (let code = 1; code < 2 ** members.length; code++) {
    const subset = Array.from(members).filter((_, m) => (code >> m) & 1);
    if (subset.length >= least) visit(subset);
  }
}

function select(found: Estimate, from: InteractionSet, to: InteractionSet): Estimate {
  if (from === to) return found;
  const pickFrom = (source: Float64Array) =>
    Float64Array.from({ length: to.length }, (_, i) => source[from.position(to.at(i))]);
  return { values: pickFrom(found.values), standardErrors: pickFrom(found.standardErrors) };
}

/**
 * Order-2 polynomial as a control variate (Witter et al. 2025, there for first-order values and trees): its own index is
 * exact, what it leaves over is small, and SVARM-IQ of that removes the bias of the fit where strata have draws: an empty
 * stratum leaves it to the polynomial.
 */
async function fromPolynomial(
  sample: CoalitionSample,
  y: Float64Array,
  set: InteractionSet,
  index: Settings['index'],
  p: number,
  signal: AbortSignal | undefined,
): Promise<Estimate> {
  const n = set.players;
  const degree = Math.min(2, n);
  const fit =
    index === 'BII'
      ? await faithfulBanzhaf(sample, y, degree, signal)
      : { ...(await faithfulShapley(sample, y, degree, signal)), intercept: 0 };
  const columns = new InteractionSet(n, 1, degree);
  const fitted = polynomialValues(sample, columns, fit.values);
  const residual = y.map((value, i) => value - fitted[i] - fit.intercept);
  const name = index === 'k-SII' ? 'SII' : momentName(index);
  const rest = aggregate(await svarmIq(sample, residual, set, name, p, signal), set, set, index);
  const weights = dividendWeights(index === 'k-SII' ? 'k-SII' : (name as 'SII'), n, 1, set.maxOrder, p);
  const values = rest.values.slice();
  for (let at = 0; at < columns.length; at++) {
    const members = columns.at(at);
    forEachSubset(members, 1, (subset) => {
      if (subset.length > set.maxOrder) return;
      const position = set.position(subset);
      if (position >= 0)
        values[position] += weights[(subset.length - 1) * (n + 1) + members.length] * fit.values[at];
    });
  }
  return { values, standardErrors: rest.standardErrors };
}
