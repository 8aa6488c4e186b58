import type { Scoring } from '../cells/values.js';
import { checkInteger, checkOneOf } from '../checks.js';
import { estimate } from '../interactions/estimators/estimate.js';
import { interactions } from '../interactions/exact.js';
import { ValueTable } from '../interactions/value-table.js';
import { resolveOptions } from '../options.js';
import { type CoalitionValues, coalitionValues } from './coalition-values.js';
import type { Explainer } from './types.js';

export interface ShapleyValueOptions {
  /** Cells that an estimate may evaluate, the full and the empty one included. Default: 1024. */
  readonly budget?: number;
  /**
   * Up to this many image and text players together, all coalitions are evaluated instead: 2^players cells.
   * Default: 10.
   */
  readonly exactUpTo?: number;
  /**
   * `regression` (default): weighted least squares on paired coalitions (KernelSHAP, at least players + 1
   * cells); `permutation`: unbiased.
   */
  readonly estimator?: 'regression' | 'permutation';
  /** What a cell is worth. Default: the probability of the decision token, as the metrics have it. */
  readonly scoring?: Scoring;
}

const DEFAULTS = {
  budget: 1024,
  exactUpTo: 10,
  estimator: 'regression' as 'regression' | 'permutation',
  scoring: 'probability' as Scoring,
};

/** Of order 1, the regression that defines Shapley values is KernelSHAP's. */
const ESTIMATORS = { regression: 'faithful', permutation: 'permutation' } as const;

/** A table of 2^20 values is the most that anyone would run a model for. */
const MOST_EXACT = 20;

/**
 * Shapley values (Shapley 1953) of all image and text players together, in the game that the metrics play:
 * absent players are replaced by their baselines, a coalition is worth the model's score of its answer. Needs
 * no look inside the model.
 *
 * Exact for few players; otherwise estimated within `budget` by `fsyn/interactions`, from the run's seed.
 * Both are efficient: the scores add up to f(everything) - f(nothing), permutations to rounding and
 * regressions by constraint.
 *
 * `diagnostics`: `cells` evaluated, `exact` (1 or 0), and `standardError`, the mean over players (0 when
 * exact).
 *
 * @throws FsynError `BUDGET` or `RANK_DEFICIENT` when the budget does not determine all players
 */
export function shapley(given?: ShapleyValueOptions): Explainer {
  const { budget, exactUpTo, estimator, scoring } = resolveOptions('shapley', DEFAULTS, given);
  checkInteger('budget', budget, 2);
  checkInteger('exactUpTo', exactUpTo, 0, MOST_EXACT);
  checkOneOf('estimator', estimator, ['regression', 'permutation']);
  return {
    name: 'shapley',
    title: 'Shapley',
    reference: 'Shapley 1953; Lundberg & Lee 2017, arXiv 1705.07874',
    needsTruth: false,
    byNameOnly: true,
    async attribute(context) {
      const { sample, seed, signal } = context;
      const images = sample.imagePlayers.count;
      const players = images + sample.textPlayers.count;
      const regions = Int32Array.from({ length: images }, (_, player) => player);
      const value = coalitionValues(context, { regions, count: images }, scoring);
      const exact = players <= exactUpTo;
      // One batch: the evaluator shares most when it sees all cells at once.
      const found = exact
        ? await exactly(players, value, signal)
        : await estimate(players, value, {
            index: 'SV',
            estimator: ESTIMATORS[estimator],
            budget,
            seed,
            batchSize: budget,
            signal,
          });
      const scores = found.singles().data;
      const errors = found.standardErrors?.slice(...found.set.range(1)) ?? new Float64Array(players);
      return {
        image: scores.slice(0, images),
        text: scores.slice(images),
        diagnostics: {
          cells: exact ? 2 ** players : (found.provenance?.spent.distinctCoalitions ?? Number.NaN),
          exact: exact ? 1 : 0,
          standardError: errors.reduce((sum, error) => sum + error, 0) / players,
        },
      };
    },
  };
}

async function exactly(players: number, value: CoalitionValues, signal: AbortSignal | undefined) {
  const game = await ValueTable.evaluate(players, value, { batchSize: 2 ** players, signal });
  return interactions(game, { index: 'SV', order: 1, signal });
}
