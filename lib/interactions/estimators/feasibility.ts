import { addon } from '../../addon/addon.js';
import { FsynError } from '../../errors.js';
import { coalitionsFor, plannedFits, type RegressionName } from './requirements.js';
import type { CoalitionSample } from './sample.js';

/** Which coalitions a regression may use. */
interface Equations {
  readonly count: number;
  /** Coalitions whose complement is there as well, counted once per pair. */
  readonly pairs: number;
}

/**
 * Refuses a regression that the drawn coalitions cannot determine, or that does not fit into memory, before a
 * single one is evaluated. What passes may still turn out to be rank deficient in the fit.
 *
 * @throws FsynError BUDGET with fewer equations than unknowns, RANK_DEFICIENT when complements repeat each
 *   other so often that the rest cannot determine the unknowns, OUT_OF_MEMORY
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
      throw new FsynError(
        count < unknowns ? 'BUDGET' : 'RANK_DEFICIENT',
        `Expected budget to give ${estimator} of order ${fit.order} over ${n} players ${unknowns} independent ` +
          `equations, got at most ${Math.min(count, independent)} from ${all.count} coalitions. It takes about ` +
          `${coalitionsFor(fit, true)} with paired coalitions.`,
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
