import { FsynError } from '../../errors.js';
import { type EstimatorName, paritiesOf } from './catalogue.js';
import { alternatives, leastBudget, type Question, unknownsOf } from './requirements.js';

/** An estimator and, for people, why it is the one. */
export interface Choice {
  readonly estimator: EstimatorName;
  readonly reason: string;
}

/** Regressions of this many times the coalitions that determine them are ahead of sparse models: order 1, and above. */
const AMPLE = [2, 6] as const;
/** With fewer than this many times, permutations are ahead of regressions. */
const ENOUGH = 1.5;
/** Entries of the matrix of a regression, 1 GiB: what may be chosen does not depend on the machine. */
const MOST_ENTRIES = 2 ** 27;
/** Parities times coalitions of a sparse model, and its coalitions: a quarter of a minute of one core. */
const MOST_PRODUCTS = 4e7;
const MOST_SPARSE = 4000;

/**
 * The estimator that `estimate` takes where the caller names none: the most accurate per evaluation of those that can answer,
 * by the curves of docs/interactions.md. Depends on nothing but the question and the budget.
 *
 * @throws FsynError BUDGET when no estimator can answer within the budget
 */
export function chooseEstimator(question: Question, budget: number): Choice {
  const { players: n, order } = question;
  const within = (name: EstimatorName, factor = 1) => factor * leastBudget(name, question) <= budget;
  const fits = (['regression', 'faithful'] as const).filter(
    (name) => within(name) && budget * unknownsOf(name, question) <= MOST_ENTRIES,
  );
  const coalitions = `${budget} coalitions`;
  if (budget >= 2 ** n) {
    const exact = fits[0] ?? (['shap-iq', 'sparse'] as const).find((name) => within(name));
    if (exact) return { estimator: exact, reason: `${coalitions} are all of ${n} players: exact` };
  }
  const ample = (name: EstimatorName) => AMPLE[name === 'faithful' && order === 1 ? 0 : 1];
  for (const name of fits)
    if (within(name, ample(name))) return { estimator: name, reason: timesLeast(name, question, budget) };
  const { count, largest } = paritiesOf(n);
  if (within('sparse') && largest > 1 && count * budget <= MOST_PRODUCTS && budget <= MOST_SPARSE) {
    const reason = `${coalitions} of ${n} players are few for a regression of order ${order}`;
    return { estimator: 'sparse', reason };
  }
  for (const name of fits)
    if (within(name, ENOUGH)) return { estimator: name, reason: timesLeast(name, question, budget) };
  for (const name of ['product', 'permutation', 'svarm-iq'] as const) {
    if (within(name))
      return {
        estimator: name,
        reason: `${coalitions} of ${n} players are too few for a regression of order ${order}`,
      };
  }
  throw new FsynError('BUDGET', alternatives(question, budget, null));
}

function timesLeast(estimator: EstimatorName, question: Question, budget: number): string {
  const least = leastBudget(estimator, question);
  return `${budget} coalitions are ${(budget / least).toFixed(1)} times the ${least} that determine the fit`;
}
