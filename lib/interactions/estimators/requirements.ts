import { binomial } from '../weights.js';
import {
  type EstimatedIndex,
  type EstimatorName,
  estimatorNames,
  indicesOf,
  largestOrder,
  mostPlayers,
  paritiesOf,
} from './catalogue.js';

/** What is to be estimated, as far as it decides how many evaluations an estimator needs. */
export interface Question {
  readonly players: number;
  readonly index: EstimatedIndex;
  readonly order: number;
  readonly minOrder: number;
  /**
   * Side of every player (1 image, 2 text, 0 neither), or null without a restriction to cross-modal
   * interactions.
   */
  readonly sides: Uint8Array | null;
  readonly paired: boolean;
  /** Inclusion probabilities of 'product'. */
  readonly nodes: number;
}

/**
 * Of order 1 the indices that generalise the Shapley value are the Shapley value, and those of Banzhaf's are
 * his.
 */
export function indexOfOrder(index: EstimatedIndex, order: number): EstimatedIndex {
  if (order !== 1 || index === 'WBII') return index;
  return index === 'BV' || index === 'BII' || index === 'FBII' ? 'BV' : 'SV';
}

/** Estimators that solve least squares over all interactions of an order. */
export type RegressionName = 'regression' | 'faithful' | 'kernel-shap-iq';

/** A fit that an estimator will make, in the centred basis where complements are mirror images. */
export interface PlannedFit {
  readonly order: number;
  /** Unknowns whose functions are the same for a coalition and its complement, and those that change sign. */
  readonly even: number;
  readonly odd: number;
  /** True when the empty and the full coalition are constraints, not equations. */
  readonly interior: boolean;
}

export function plannedFits(
  estimator: RegressionName,
  banzhaf: boolean,
  n: number,
  order: number,
): PlannedFit[] {
  if (estimator === 'kernel-shap-iq') {
    const fits: PlannedFit[] = [{ order: 1, even: 0, odd: n - 1, interior: true }];
    for (let level = 2; level <= order; level++) {
      // Level 2 gives 0, -1/2, 0 to coalitions with 0, 1, 2 of a pair; higher levels are neither even nor
      // odd.
      const unknowns = binomial(n, level);
      const even = level === 2 ? unknowns : Math.ceil(unknowns / 2);
      fits.push({ order: level, even, odd: unknowns - even, interior: false });
    }
    return fits;
  }
  const degree = estimator === 'regression' ? Math.min(2, n) : order;
  let [even, odd] = [1, 0];
  for (let size = 1; size <= Math.min(degree, n); size++) {
    if (size % 2 === 0) even += binomial(n, size);
    else odd += binomial(n, size);
  }
  // Values at the empty and the full coalition are given: one unknown less of either kind.
  return [
    banzhaf
      ? { order: degree, even, odd, interior: false }
      : { order: degree, even: even - 1, odd: odd - 1, interior: true },
  ];
}

/**
 * Coalitions that determine a fit: complements repeat each other, so the larger kind of unknowns takes a pair
 * each.
 */
export function coalitionsFor({ even, odd, interior }: PlannedFit, paired: boolean): number {
  return (interior ? 2 : 0) + (paired ? 2 * Math.max(even, odd) : even + odd);
}

/** Fewer coalitions leave 'sparse' too few to hold out. */
export const LEAST_SPARSE = 40;

/** Every pair side by side once, in rotations of a zigzag over an even or an odd circle. */
export function permutationBlock(n: number): number {
  return n % 2 === 0 ? (n * (n + 1)) / 2 + 1 : n * (n - 1) + 2;
}

export function productLeast(image: number, text: number, nodes: number): number {
  return nodes * (image + 2) * (text + 2) + 1;
}

/**
 * Evaluations from which on an estimator can answer, Infinity where no budget makes it. Full tables always
 * suffice.
 */
export function leastBudget(estimator: EstimatorName, question: Question): number {
  const { players: n, index, order, minOrder, sides } = question;
  if (!indicesOf(estimator).includes(index) || order > largestOrder(estimator) || n > mostPlayers(estimator))
    return Number.POSITIVE_INFINITY;
  switch (estimator) {
    case 'product': {
      if (order !== 2 || !sides?.every((side) => side !== 0)) return Number.POSITIVE_INFINITY;
      const image = sides.filter((side) => side === 1).length;
      const nodes = index === 'BII' || index === 'WBII' ? 1 : question.nodes;
      return productLeast(image, n - image, nodes);
    }
    case 'permutation':
      if (index === 'STII' && order === 2 && minOrder === 1 && !sides) return Number.POSITIVE_INFINITY;
      return order === 1 ? n + 1 : permutationBlock(n);
    case 'sparse':
      return order > paritiesOf(n).largest ? Number.POSITIVE_INFINITY : Math.min(LEAST_SPARSE, 2 ** n);
    case 'shap-iq':
    case 'svarm-iq':
      if ((index === 'FSII' || index === 'FBII') && minOrder < order && !(sides && order === 2))
        return Number.POSITIVE_INFINITY;
      // The empty, the full, and one coalition of every player and its complement.
      return Math.min(2 * (n + 1), 2 ** n);
    default: {
      const fits = plannedFits(estimator, isBanzhaf(index), n, order);
      return Math.min(Math.max(...fits.map((fit) => coalitionsFor(fit, question.paired))), 2 ** n);
    }
  }
}

function isBanzhaf(index: EstimatedIndex): boolean {
  return index === 'FBII' || index === 'BII' || index === 'BV';
}

/** Unknowns of the largest fit of a regression. */
export function unknownsOf(estimator: RegressionName, { players, index, order }: Question): number {
  return Math.max(
    ...plannedFits(estimator, isBanzhaf(index), players, order).map(({ even, odd }) => even + odd),
  );
}

/** Estimators that can answer within a budget. */
export function estimatorsWithin(question: Question, budget: number): EstimatorName[] {
  return estimatorNames.filter((name) => leastBudget(name, question) <= budget);
}

/** For refusals: which estimators would do with this budget, or what the least budget is. */
export function alternatives(question: Question, budget: number, refused: EstimatorName | null): string {
  const others = estimatorsWithin(question, budget).filter((name) => name !== refused);
  if (others.length > 0) {
    const names = others.map((name) => `'${name}'`);
    const list = names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${names.at(-1)}` : names[0];
    return `With ${budget} evaluations ${list} can estimate ${question.index} of order ${question.order}.`;
  }
  const least = estimatorNames
    .map((name) => ({ name, needs: leastBudget(name, question) }))
    .filter(({ needs }) => needs < Number.POSITIVE_INFINITY)
    .sort((a, b) => a.needs - b.needs)[0];
  if (!least)
    return `No estimator knows ${question.index} of order ${question.order} over ${question.players} players.`;
  return `No estimator makes do with ${budget} evaluations; '${least.name}' takes ${least.needs}.`;
}
