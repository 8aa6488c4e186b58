import { FsynError } from '../../errors.js';
import { addon } from '../../inference/addon.js';
import { binomial } from '../weights.js';
import type { CoalitionSample } from './sample.js';

/** A fit that an estimator will make, in the centred basis where complements are mirror images. */
interface PlannedFit {
  readonly order: number;
  /** Unknowns whose functions are the same for a coalition and its complement, and those that change sign. */
  readonly even: number;
  readonly odd: number;
  /** True when the empty and the full coalition are constraints, not equations. */
  readonly interior: boolean;
}

/** Which coalitions a regression may use. */
interface Equations {
  readonly count: number;
  /** Coalitions whose complement is there as well, counted once per pair. */
  readonly pairs: number;
}

/** Estimators that solve least squares over all interactions of an order. */
export type RegressionName = 'regression' | 'faithful' | 'kernel-shap-iq';

/**
 * Refuses a regression that the drawn coalitions cannot determine, or that does not fit into memory, before a single one
 * is evaluated. What passes may still turn out to be rank deficient in the fit.
 *
 * @throws FsynError BUDGET with fewer equations than unknowns, RANK_DEFICIENT when complements repeat each other so often
 *   that the rest cannot determine the unknowns, OUT_OF_MEMORY
 */
export function checkRegression(
  estimator: RegressionName,
  banzhaf: boolean,
  sample: CoalitionSample,
  order: number,
): void {
  const n = sample.coalitions.players;
  const all = equationsOf(sample);
  const interior = { count: all.count - 2, pairs: all.pairs - 1 };
  for (const fit of plannedFits(estimator, banzhaf, n, order)) {
    const { count, pairs } = fit.interior ? interior : all;
    const unknowns = fit.even + fit.odd;
    const independent = Math.min(pairs, fit.even) + Math.min(pairs, fit.odd) + count - 2 * pairs;
    if (count < unknowns || independent < unknowns) {
      const least = (fit.interior ? 2 : 0) + 2 * Math.max(fit.even, fit.odd);
      throw new FsynError(
        count < unknowns ? 'BUDGET' : 'RANK_DEFICIENT',
        `Expected budget to give ${estimator} of order ${fit.order} over ${n} players ${unknowns} independent ` +
          `equations, got at most ${Math.min(count, independent)} from ${all.count} coalitions. It takes about ` +
          `${least} with paired coalitions; 'permutation', 'shap-iq' and 'product' take fewer.`,
      );
    }
    // As the native side counts: a constraint is eliminated into a second matrix before the first is freed.
    const columns = unknowns + (fit.interior ? 1 : 0);
    addon().requireMemory(
      2 * 8 * count * columns + 8 * columns ** 2,
      `${estimator} of order ${fit.order} over ${n} players on ${count} coalitions`,
    );
  }
}

function plannedFits(estimator: RegressionName, banzhaf: boolean, n: number, order: number): PlannedFit[] {
  if (estimator === 'kernel-shap-iq') {
    const fits: PlannedFit[] = [{ order: 1, even: 0, odd: n - 1, interior: true }];
    for (let level = 2; level <= order; level++) {
      // Level 2 gives 0, -1/2, 0 to coalitions with 0, 1, 2 of a pair; higher levels are neither even nor odd.
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

function equationsOf({ coalitions, sizes }: CoalitionSample): Equations {
  const { players: n, stride, words } = coalitions;
  const keys = new Set<string>();
  for (let i = 0; i < sizes.length; i++) keys.add(words.subarray(i * stride, (i + 1) * stride).join());
  let twice = 0;
  const complement = new Uint32Array(stride);
  for (let i = 0; i < sizes.length; i++) {
    for (let w = 0; w < stride; w++) {
      const used = w === stride - 1 && n % 32 !== 0 ? 2 ** (n % 32) - 1 : 0xffffffff;
      complement[w] = ~words[i * stride + w] & used;
    }
    if (keys.has(complement.join())) twice++;
  }
  return { count: sizes.length, pairs: twice / 2 };
}
