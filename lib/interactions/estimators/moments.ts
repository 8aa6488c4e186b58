import { bitCount } from '../../bits.js';
import { FsynError } from '../../errors.js';
import type { InteractionSet } from '../interaction-set.js';
import { binomial, type CardinalIndex, derivativeWeight } from '../weights.js';
import { type CoalitionSample, drawCount, importanceWeights, presence } from './sample.js';
import { Turns } from './turns.js';

/** One value and one standard error per interaction. */
export interface Estimate {
  readonly values: Float64Array;
  readonly standardErrors: Float64Array;
}

/** Indices that the moment estimators know: those with derivative weights. */
export type MomentIndex = 'SII' | 'BII' | 'WBII' | 'CHII' | 'STII' | 'FSII' | 'FBII';

/**
 * w(s, t) of an interaction of size s when the largest is k; null when that order has no derivative weights.
 */
function momentWeight(index: MomentIndex, n: number, k: number, s: number, t: number, p: number): number {
  if (index === 'STII') {
    if (s < k) return t === 0 ? 1 : 0;
    return derivativeWeight('STII-top', n, s, t);
  }
  if (index === 'FSII' || index === 'FBII') {
    if (s !== k) {
      throw new FsynError(
        'INVALID_ARGUMENT',
        `Moment estimators know ${index} at its largest order only; set minOrder to ${k} or use a regression.`,
      );
    }
    return derivativeWeight(`${index}-top` as CardinalIndex, n, s, t);
  }
  return derivativeWeight(index, n, s, t, p);
}

/** Number of members of interaction S in every coalition. */
function intersections(members: ArrayLike<number>, rows: readonly Uint8Array[], out: Uint8Array): void {
  out.fill(0);
  for (let m = 0; m < members.length; m++) {
    const row = rows[members[m]];
    for (let i = 0; i < out.length; i++) out[i] += row[i];
  }
}

/**
 * gamma(r, t): weight of v(T) in I(S), |T| = t, r = |S and T|, from the derivative weights. Shape [s + 1][n +
 * 1].
 */
function standardWeights(index: MomentIndex, n: number, k: number, s: number, p: number): Float64Array {
  const table = new Float64Array((s + 1) * (n + 1));
  for (let r = 0; r <= s; r++) {
    for (let t = r; t <= n - s + r; t++) {
      table[r * (n + 1) + t] = ((s - r) % 2 === 0 ? 1 : -1) * momentWeight(index, n, k, s, t - r, p);
    }
  }
  return table;
}

/**
 * SHAP-IQ (Fumagalli et al. 2023; order 1 is unbiased KernelSHAP, Covert & Lee 2021): an importance-weighted
 * sum in which every coalition serves every interaction. `y` are the values less v(empty).
 */
export async function shapIq(
  sample: CoalitionSample,
  y: Float64Array,
  set: InteractionSet,
  index: MomentIndex,
  p: number,
  signal: AbortSignal | undefined,
): Promise<Estimate> {
  const turns = new Turns(signal);
  const n = set.players;
  const rows = presence(sample.coalitions);
  const weight = importanceWeights(sample);
  const draws = drawCount(sample);
  const complete = sizesEnumerated(sample).every((all) => all === 1);
  const inside = new Uint8Array(y.length);
  const values = new Float64Array(set.length);
  const standardErrors = new Float64Array(set.length);
  const tables = orderTables(set, (s) => standardWeights(index, n, set.maxOrder, s, p));
  for (let at = 0; at < set.length; at++) {
    if (turns.over) await turns.next();
    const gamma = tables[set.order(at)];
    intersections(set.at(at), rows, inside);
    let exact = 0;
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < y.length; i++) {
      const term = weight[i] * y[i] * gamma[inside[i] * (n + 1) + sample.sizes[i]];
      if (sample.sampled[i]) {
        sum += term;
        squares += (term * term) / sample.counts[i];
      } else {
        exact += term;
      }
    }
    values[at] = exact + sum;
    // Each draw contributes draws * its share of the mean; `squares` sums the squared shares.
    standardErrors[at] = Math.sqrt(
      draws > 1
        ? Math.max(squares - (sum * sum) / draws, 0) * (draws / (draws - 1))
        : // One draw says nothing of the spread, none at all nothing of the sizes that are not enumerated.
          complete
          ? 0
          : Number.POSITIVE_INFINITY,
    );
  }
  return { values, standardErrors };
}

function orderTables(set: InteractionSet, make: (order: number) => Float64Array): Float64Array[] {
  return Array.from({ length: set.maxOrder + 1 }, (_, s) =>
    s >= Math.max(set.minOrder, 1) ? make(s) : new Float64Array(0),
  );
}

/** An estimate from strata. */
export interface StratifiedEstimate extends Estimate {
  /**
   * Share of an index's absolute weight that lies on strata without a draw, the largest of all interactions;
   * 0..1.
   */
  readonly emptyStrata: number;
}

/**
 * SVARM-IQ (Kolpaczki et al. 2024, equation 7) without the warm-up of its algorithm: draws are stratified,
 * per interaction, by their members of S and their size; the index is a weighted sum of stratum means, exact
 * where a size is enumerated.
 *
 * A stratum's mean is unbiased once a draw fell into it. The paper's warm-up spends about 2^s (n - 3)
 * evaluations per interaction on that, more than most budgets; here a stratum without a draw counts as
 * v(empty), so the expected value is the index less the weighted means of the empty strata. `emptyStrata`
 * says how much weight they have: 0 is unbiased. Their standard error is the root mean square of all drawn
 * values, that of a stratum with one draw their standard deviation.
 */
export async function svarmIq(
  sample: CoalitionSample,
  y: Float64Array,
  set: InteractionSet,
  index: MomentIndex,
  p: number,
  signal: AbortSignal | undefined,
): Promise<StratifiedEstimate> {
  const turns = new Turns(signal);
  const n = set.players;
  const rows = presence(sample.coalitions);
  const values = new Float64Array(set.length);
  const standardErrors = new Float64Array(set.length);
  const strata = 2 ** set.maxOrder * (n + 1);
  const [counts, sums, squares] = [
    new Float64Array(strata),
    new Float64Array(strata),
    new Float64Array(strata),
  ];
  const pattern = new Uint8Array(y.length);
  const tables = orderTables(set, (s) => standardWeights(index, n, set.maxOrder, s, p));
  // Weight of a whole stratum: of one coalition, times how many have r members of S and t members in all.
  const whole = tables.map((gamma, s) =>
    gamma.map((weight, i) => weight * binomial(n - s, (i % (n + 1)) - Math.floor(i / (n + 1)))),
  );
  const weights = whole.map((factors, s) => totalWeight(factors, n, s));
  const enumerated = sizesEnumerated(sample);
  let emptyStrata = 0;
  const pooled = pooledMoments(sample, y);
  for (let at = 0; at < set.length; at++) {
    if (turns.over) await turns.next();
    const members = set.at(at);
    const s = members.length;
    const gamma = tables[s];
    pattern.fill(0);
    for (let m = 0; m < s; m++) {
      const row = rows[members[m]];
      for (let i = 0; i < y.length; i++) pattern[i] |= row[i] << m;
    }
    counts.fill(0);
    sums.fill(0);
    squares.fill(0);
    let value = 0;
    for (let i = 0; i < y.length; i++) {
      const r = bitCount(pattern[i]);
      if (!sample.sampled[i]) {
        value += y[i] * gamma[r * (n + 1) + sample.sizes[i]];
        continue;
      }
      const stratum = pattern[i] * (n + 1) + sample.sizes[i];
      counts[stratum] += sample.counts[i];
      sums[stratum] += sample.counts[i] * y[i];
      squares[stratum] += sample.counts[i] * y[i] * y[i];
    }
    let variance = 0;
    let empty = 0;
    const factors = whole[s];
    for (let w = 0; w < 2 ** s; w++) {
      const r = bitCount(w);
      for (let t = r; t <= n - s + r; t++) {
        if (enumerated[t]) continue;
        const stratum = w * (n + 1) + t;
        const factor = factors[r * (n + 1) + t];
        if (factor === 0) continue;
        const count = counts[stratum];
        if (count === 0) {
          empty += Math.abs(factor);
          variance += factor * factor * pooled.square;
          continue;
        }
        const mean = sums[stratum] / count;
        value += factor * mean;
        const spread =
          count > 1 ? Math.max(squares[stratum] / count - mean * mean, 0) / (count - 1) : pooled.variance;
        variance += factor * factor * spread;
      }
    }
    values[at] = value;
    standardErrors[at] = Math.sqrt(variance);
    emptyStrata = Math.max(emptyStrata, empty / weights[s]);
  }
  return { values, standardErrors, emptyStrata };
}

/**
 * Sum of the absolute weights of all strata of an interaction of size s; factors has shape [s + 1][n + 1].
 */
function totalWeight(factors: Float64Array, n: number, s: number): number {
  let total = 0;
  for (const [i, factor] of factors.entries())
    total += binomial(s, Math.floor(i / (n + 1))) * Math.abs(factor);
  return total;
}

function sizesEnumerated(sample: CoalitionSample): Uint8Array {
  const enumerated = new Uint8Array(sample.coalitions.players + 1);
  for (let i = 0; i < sample.sizes.length; i++) if (!sample.sampled[i]) enumerated[sample.sizes[i]] = 1;
  return enumerated;
}

/** Mean square and variance of the drawn values. */
function pooledMoments(sample: CoalitionSample, y: Float64Array): { square: number; variance: number } {
  let [count, sum, squares] = [0, 0, 0];
  for (let i = 0; i < y.length; i++) {
    if (!sample.sampled[i]) continue;
    count += sample.counts[i];
    sum += sample.counts[i] * y[i];
    squares += sample.counts[i] * y[i] * y[i];
  }
  if (count < 2) return { square: Number.POSITIVE_INFINITY, variance: Number.POSITIVE_INFINITY };
  const variance = Math.max(squares / count - (sum / count) ** 2, 0) * (count / (count - 1));
  return { square: squares / count, variance };
}
