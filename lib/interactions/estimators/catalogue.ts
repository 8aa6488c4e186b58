import { binomial } from '../weights.js';
import type { MomentIndex } from './moments.js';

/**
 * How interactions are estimated:
 *
 * - 'regression': order-2 polynomial by weighted least squares on paired coalitions, and SVARM-IQ of what it
 *   leaves over; for budgets that 'sparse' takes too long for. Orders 1 and 2.
 * - 'sparse': Fourier models with the coefficients that predict held-out coalitions, and the index of what
 *   they
 *   leave over. The most accurate per evaluation on sparse and on dense games, and consistent.
 * - 'product': crossed image and text states, for cross-modal pairs; the most accurate per image encoding.
 *   Order 2.
 * - 'permutation': permutations with shared prefixes. Orders 1 and 2, unbiased, no minimum beyond one visit
 *   of each pair.
 * - 'shap-iq', 'svarm-iq': moment estimators for any order; 'shap-iq' is unbiased, 'svarm-iq' where no
 *   stratum is empty (see
 *   `provenance.emptyStrata`). 'kernel-shap-iq': consistent regression for SII.
 * - 'faithful': the regression that defines FSII, FBII or kADD-SHAP; of order 1 KernelSHAP, whose limit is
 *   SV.
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

/** Every estimator. */
export const estimatorNames = Object.keys(SUPPORT) as readonly EstimatorName[];

/** Indices that an estimator knows. */
export function indicesOf(estimator: EstimatorName): readonly EstimatedIndex[] {
  return SUPPORT[estimator];
}

/** Estimators that know an index. */
export function estimatorsOf(index: EstimatedIndex): EstimatorName[] {
  return estimatorNames.filter((name) => SUPPORT[name].includes(index));
}

/** Every index that an estimator knows. */
export const estimatedIndices: readonly EstimatedIndex[] = SUPPORT.sparse;

/** Largest order of an estimator. */
export function largestOrder(estimator: EstimatorName): number {
  return estimator === 'product' || estimator === 'regression' || estimator === 'permutation' ? 2 : 8;
}

/** Binomial coefficients of more players are beyond double precision. */
const MOST_SAMPLED = 1000;

/** Most players of an estimator: drawing coalitions by size needs binomial coefficients, which overflow. */
export function mostPlayers(estimator: EstimatorName): number {
  return estimator === 'permutation' || estimator === 'product' ? Number.POSITIVE_INFINITY : MOST_SAMPLED;
}

/** Parities that 'sparse' looks through in every round. */
const MOST_PARITIES = 40_000;
const LARGEST_PARITY = 4;

/** The parities that 'sparse' looks through: all of up to `largest` players. */
export function paritiesOf(players: number): { readonly largest: number; readonly count: number } {
  let [largest, count] = [1, 1 + players];
  while (largest < Math.min(LARGEST_PARITY, players)) {
    const more = binomial(players, largest + 1);
    if (count + more > MOST_PARITIES) break;
    largest++;
    count += more;
  }
  return { largest, count };
}

/** Coalitions that the models of 'sparse' are fitted to, at most: of more, a random part. */
export const MOST_FITTED = 4000;
