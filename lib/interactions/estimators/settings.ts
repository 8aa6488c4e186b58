import { checkInteger, checkNumber, checkOneOf } from '../../checks.js';
import { invalidArgument } from '../../errors.js';
import { InteractionSet } from '../interaction-set.js';
import type { CrossPairs, Players } from '../players.js';
import {
  type EstimatedIndex,
  type EstimatorName,
  estimatedIndices,
  estimatorNames,
  indicesOf,
  largestOrder,
  mostPlayers,
} from './catalogue.js';
import type { WeightedIndex } from './from-sample.js';
import { indexOfOrder, type Question } from './requirements.js';

export interface EstimateOptions {
  /** 'auto' (default) takes what `chooseEstimator` says; the result's provenance names it and says why. */
  readonly estimator: EstimatorName | 'auto';
  readonly index: EstimatedIndex;
  /** Largest interaction size, >= 1; SV and BV take 1 only. */
  readonly order: number;
  /** Smallest size in the result, >= 1. */
  readonly minOrder: number;
  /**
   * Distinct coalitions that may be evaluated ('product': evaluations), the empty and the full one included.
   */
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

export const DEFAULTS: EstimateOptions = {
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

/** What is estimated, from options that were checked. */
export interface Settings {
  /** What is returned. */
  readonly set: InteractionSet;
  readonly index: WeightedIndex;
  readonly question: Question;
}

export function checkSettings(options: EstimateOptions, players: Players): Settings {
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
