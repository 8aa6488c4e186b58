import { FsynError } from '../../errors.js';
import { Random } from '../../statistics/random.js';
import type { InteractionSet } from '../interaction-set.js';
import { binomial, type DividendIndex, dividendWeights } from '../weights.js';
import { MOST_FITTED, paritiesOf } from './catalogue.js';
import type { Estimate } from './moments.js';
import { LEAST_SPARSE } from './requirements.js';
import { type ResidualIndex, type Residuals, residualIndex } from './residual.js';
import type { CoalitionSample } from './sample.js';
import { allParities, type Found, type Model, type Parity, Search } from './search.js';
import { Turns } from './turns.js';

/** The coalitions are held out in turn, in this many groups. */
const FOLDS = 5;
/** Folds whose held-out coalitions choose the start. */
const JUDGES = 2;
/** Models may start from all parities up to this many players, where there are enough coalitions. */
const LARGEST_START = 3;
/** Coalitions per parity of a start. */
const ROWS_PER_START = 1.3;

interface Fold {
  readonly training: readonly number[];
  readonly heldOut: readonly number[];
}

/**
 * Sparse Fourier models of the game, their exact index, and the index of what they leave over (the models in
 * the spirit of SPEX and ProxySPEX, Kang et al. 2025, Butler et al. 2025, there with coded queries and
 * boosted trees; the rest in that of RegressionMSR, Witter et al. 2025). Models start from nothing, or from
 * all parities of up to 1, 2 or 3 players, whichever predicts held-out coalitions better; `Search` says how
 * they grow. Every fifth of the coalitions is held out once, and the model is the mean of the five.
 *
 * What the mean model leaves over of the sample's coalitions is added as it is. For all others it is
 * estimated from the errors of prediction, stratum by stratum, and shrunk by how much of that is noise (James
 * & Stein 1961, over the interactions of an order): a game that is not sparse is estimated consistently, and
 * one that is loses nothing. With all coalitions the index is exact whatever the models are.
 *
 * Standard errors: of the model's part the delete-a-group jackknife and a parity that hides in the errors of
 * prediction, of the strata's part the scatter of those errors, each by its share in the estimate.
 *
 * `sample` should weigh sizes as the index does: what the models miss is then small where it counts.
 *
 * @param mostFitted coalitions that models are fitted to; all others only judge and correct them
 * @returns `explained`: share of the variance of held-out coalitions that the models explain; at most 1,
 *   below 0 when the mean is the better prediction
 * @throws FsynError BUDGET below 40 coalitions
 */
export async function sparseFourier(
  sample: CoalitionSample,
  y: Float64Array,
  set: InteractionSet,
  index: DividendIndex,
  p: number,
  seed: number,
  signal: AbortSignal | undefined,
  mostFitted = MOST_FITTED,
): Promise<Estimate & { readonly explained: number }> {
  const rows = y.length;
  if (rows < Math.min(LEAST_SPARSE, 2 ** set.players)) {
    throw new FsynError(
      'BUDGET',
      `A sparse model needs at least ${LEAST_SPARSE} coalitions but has ${rows}.`,
    );
  }
  const search = new Search(sample, y, signal);
  const fitted = Math.min(rows, mostFitted);
  const folds = foldsOf(rows, fitted, seed);
  const found = await bestModels(search, folds, set.players, fitted);
  const weights = dividendWeights(index, set.players, 1, set.maxOrder, p);
  const estimates = found.map(({ model }) => indexOf(model, set, weights));
  const values = new Float64Array(set.length);
  for (const one of estimates) for (let i = 0; i < values.length; i++) values[i] += one[i] / FOLDS;
  const missed = errorOf(found);
  const modelled = values.map((mean, i) => {
    let squares = 0;
    for (const one of estimates) squares += (one[i] - mean) ** 2;
    // A parity that no model has may still have what it takes to hide in the errors of prediction.
    return ((FOLDS - 1) / FOLDS) * squares + (4 ** set.order(i) * missed) / fitted ** 2;
  });
  const residuals = await residualsOf(search, found, folds, y, signal);
  const rest = await residualIndex(sample, residuals, set, index, p, signal);
  const spread = found.reduce((sum, one) => sum + one.constant, 0);
  return { ...corrected(values, modelled, rest, set), explained: spread > 0 ? 1 - missed / spread : 1 };
}

/** Every fifth of the coalitions that models are fitted to. */
function foldsOf(rows: number, fitted: number, seed: number): Fold[] {
  const order = Array.from(new Random(seed + 1).permutation(rows)).slice(0, fitted);
  return Array.from({ length: FOLDS }, (_, fold) => ({
    heldOut: order.filter((_, i) => i % FOLDS === fold),
    training: order.filter((_, i) => i % FOLDS !== fold),
  }));
}

function errorOf(found: readonly Found[]): number {
  return found.reduce((sum, { error }) => sum + error, 0);
}

/** One model per fold, all from the start whose models predict the first held-out folds best. */
async function bestModels(
  search: Search,
  folds: readonly Fold[],
  players: number,
  rows: number,
): Promise<readonly Found[]> {
  const judges = folds.slice(0, JUDGES);
  let best = { start: allParities(players, 0), found: await modelsOf(search, judges, [[]]) };
  for (let largest = 1; largest <= Math.min(LARGEST_START, paritiesOf(players).largest); largest++) {
    let parities = 0;
    for (let size = 0; size <= largest; size++) parities += binomial(players, size);
    if (parities * ROWS_PER_START > (rows * (FOLDS - 1)) / FOLDS) break;
    const start = allParities(players, largest);
    try {
      const found = await modelsOf(search, judges, start);
      if (errorOf(found) < errorOf(best.found)) best = { start, found };
    } catch (error) {
      // What these coalitions cannot tell apart they cannot tell apart in a larger start either.
      if (isRankDeficient(error)) break;
      throw error;
    }
  }
  const others = folds.slice(JUDGES);
  try {
    return [...best.found, ...(await modelsOf(search, others, best.start))];
  } catch (error) {
    if (!isRankDeficient(error)) throw error;
    return modelsOf(search, folds, [[]]);
  }
}

async function modelsOf(
  search: Search,
  folds: readonly Fold[],
  start: readonly Parity[],
): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const { training, heldOut } of folds) found.push(await search.run(training, heldOut, start));
  return found;
}

function isRankDeficient(error: unknown): boolean {
  return error instanceof FsynError && error.code === 'RANK_DEFICIENT';
}

async function residualsOf(
  search: Search,
  found: readonly Found[],
  folds: readonly Fold[],
  y: Float64Array,
  signal: AbortSignal | undefined,
): Promise<Residuals> {
  const turns = new Turns(signal);
  const own = y.slice();
  for (const { model } of found) {
    for (let row = 0; row < y.length; row++) {
      own[row] -= search.predict(model, row) / FOLDS;
      if (turns.over) await turns.next();
    }
  }
  // What no model was fitted to is new to all of them.
  const heldOut = own.slice();
  for (const [fold, { model }] of found.entries())
    for (const row of folds[fold].heldOut) heldOut[row] = y[row] - search.predict(model, row);
  return { own, heldOut };
}

/** Adds what the models leave over: what is known, and of the strata's means as much as is not noise. */
function corrected(
  modelled: Float64Array,
  variances: Float64Array,
  rest: ResidualIndex,
  set: InteractionSet,
): Estimate {
  const values = modelled.slice();
  const standardErrors = new Float64Array(set.length);
  for (let order = set.minOrder; order <= set.maxOrder; order++) {
    const [begin, end] = set.range(order);
    let [noise, squares] = [0, 0];
    for (let i = begin; i < end; i++) {
      noise += rest.variance[i];
      squares += rest.others[i] ** 2;
    }
    const share = squares > noise ? 1 - noise / squares : 0;
    for (let i = begin; i < end; i++) {
      values[i] += rest.known[i] + share * rest.others[i];
      const model = (1 - share) ** 2 * rest.unseen[i] ** 2 * variances[i];
      standardErrors[i] = Math.sqrt(model + share ** 2 * rest.variance[i] + rest.scatter[i]);
    }
  }
  return { values, standardErrors };
}

/**
 * The index of the model: parity S has the dividends (-2)^|T| on T within S. weights: see dividendWeights.
 */
function indexOf({ parities, fit }: Model, set: InteractionSet, weights: Float64Array): Float64Array {
  const width = set.players + 1;
  const values = new Float64Array(set.length);
  for (const [i, parity] of parities.entries()) {
    for (let code = 1; code < 2 ** parity.length; code++) {
      const members = parity.filter((_, m) => (code >> m) & 1);
      if (members.length > set.maxOrder) continue;
      const position = set.position(members);
      if (position < 0) continue;
      // Supersets of the members within the parity, by size.
      const rest = parity.length - members.length;
      let factor = 0;
      for (let more = 0; more <= rest; more++) {
        const size = members.length + more;
        factor += binomial(rest, more) * (-2) ** size * weights[(members.length - 1) * width + size];
      }
      values[position] += factor * fit.solution[i];
    }
  }
  return values;
}
