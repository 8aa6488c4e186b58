import { FsynError } from '../../errors.js';
import { type EstimatorName, MOST_FITTED, paritiesOf } from './catalogue.js';
import { alternatives, leastBudget, type Question, unknownsOf } from './requirements.js';

/** An estimator and, for people, why it is the one. */
export interface Choice {
  readonly estimator: EstimatorName;
  readonly reason: string;
}

/**
 * Of order 1, regressions are the equals of sparse models up to this many times the coalitions that determine
 * them.
 */
const FIRST_ORDER = [2, 5] as const;
/** With fewer than this many times, permutations are ahead of regressions. */
const ENOUGH = 1.5;
/** Entries of the matrix of a regression, 1 GiB: what may be chosen does not depend on the machine. */
const MOST_ENTRIES = 2 ** 27;
/** Parities times coalitions that sparse models are fitted to: a quarter of a minute of one core. */
const MOST_PRODUCTS = 4e7;
/** Coalitions whose values the models predict: the same. */
const MOST_SPARSE = 2 ** 16;

/**
 * The estimator that `estimate` takes where the caller names none: the most accurate per evaluation of those
 * that can answer, by the curves of docs/interactions-measured.md. Depends on nothing but the question and
 * the budget; what depends on the values, how dense a game is, 'sparse' judges itself by coalitions that it
 * holds out.
 *
 * @param coalitions 'given': only estimators that take any coalitions
 * @throws FsynError BUDGET when no estimator can answer within the budget
 */
export function chooseEstimator(
  question: Question,
  budget: number,
  coalitions: 'drawn' | 'given' = 'drawn',
): Choice {
  const { players: n, order } = question;
  const within = (name: EstimatorName, factor = 1) => factor * leastBudget(name, question) <= budget;
  const fits = (['regression', 'faithful'] as const).filter(
    (name) => within(name) && budget * unknownsOf(name, question) <= MOST_ENTRIES,
  );
  if (budget >= 2 ** n) {
    const exact = fits[0] ?? (['shap-iq', 'sparse'] as const).find((name) => within(name));
    if (exact) return { estimator: exact, reason: `${budget} coalitions are all of ${n} players: exact` };
  }
  const { count, largest } = paritiesOf(n);
  const products = count * Math.min(budget, MOST_FITTED);
  const sparse = within('sparse') && largest > 1 && products <= MOST_PRODUCTS && budget <= MOST_SPARSE;
  const [least, most] = FIRST_ORDER;
  if (order === 1 && fits.includes('faithful') && within('faithful', least)) {
    if (!sparse || !within('faithful', most))
      return { estimator: 'faithful', reason: timesLeast('faithful', question, budget) };
  }
  if (sparse) {
    const reason = `${budget} coalitions of ${n} players are within reach of models that choose their terms`;
    return { estimator: 'sparse', reason };
  }
  for (const name of fits)
    if (within(name, ENOUGH)) return { estimator: name, reason: timesLeast(name, question, budget) };
  const others = (['product', 'permutation', 'svarm-iq'] as const).filter(
    (name) => coalitions === 'drawn' || name === 'svarm-iq',
  );
  for (const name of others) {
    if (within(name))
      return {
        estimator: name,
        reason: `${budget} coalitions of ${n} players are too few for a regression of order ${order}`,
      };
  }
  throw new FsynError('BUDGET', alternatives(question, budget, null));
}

function timesLeast(estimator: EstimatorName, question: Question, budget: number): string {
  const least = leastBudget(estimator, question);
  return `${budget} coalitions are ${(budget / least).toFixed(1)} times the ${least} that determine the fit`;
}
