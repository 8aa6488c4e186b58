import type { InteractionSet } from '../interaction-set.js';
import { binomial, type DividendIndex, derivativesOfDividends } from '../weights.js';
import { type CoalitionSample, presence } from './sample.js';
import { Turns } from './turns.js';

/** What a model leaves over of the values of a sample: one number per coalition. */
export interface Residuals {
  /** Values less what the model says. */
  readonly own: Float64Array;
  /**
   * Values less what a model says that was made without them: what to expect of coalitions outside the
   * sample.
   */
  readonly heldOut: Float64Array;
}

/** The index of what a model leaves over: one number per interaction. */
export interface ResidualIndex {
  /** What the coalitions of the sample add; exact. */
  readonly known: Float64Array;
  /** What the others add, where every stratum of them is like the drawn coalitions of it. */
  readonly others: Float64Array;
  /** Variance of `others` as an estimate of a mean. */
  readonly variance: Float64Array;
  /** Variance of the sum of the others about that mean, and of strata without a coalition in the sample. */
  readonly scatter: Float64Array;
  /** Share of the index's weight on coalitions outside the sample, 0..1. */
  readonly unseen: Float64Array;
}

/**
 * Index of what a model leaves over, by the strata of SVARM-IQ (Kolpaczki et al. 2024): coalitions of one
 * size with the same members of the interaction. A coalition of the sample counts as itself, and a stratum's
 * mean stands for those that are not in it only: the more of a stratum is known, the less is left to its
 * mean.
 */
export async function residualIndex(
  sample: CoalitionSample,
  residuals: Residuals,
  set: InteractionSet,
  index: DividendIndex,
  p: number,
  signal: AbortSignal | undefined,
): Promise<ResidualIndex> {
  const turns = new Turns(signal);
  const n = set.players;
  const width = n + 1;
  const rows = presence(sample.coalitions);
  const squares = squaresBySize(sample, residuals.heldOut);
  const orders = Array.from({ length: set.maxOrder + 1 }, (_, s) =>
    s < Math.max(set.minOrder, 1) ? null : orderWeights(index, n, s, set.maxOrder, p),
  );
  const strata = 2 ** set.maxOrder * width;
  const [counts, sums] = [new Float64Array(strata), new Float64Array(strata)];
  const pattern = new Uint8Array(residuals.own.length);
  const zeros = () => new Float64Array(set.length);
  const found = { known: zeros(), others: zeros(), variance: zeros(), scatter: zeros(), unseen: zeros() };
  for (let at = 0; at < set.length; at++) {
    if (turns.over) await turns.next();
    const members = set.at(at);
    const s = members.length;
    const { gamma, choices, total } = orders[s]!;
    pattern.fill(0);
    for (let m = 0; m < s; m++) {
      const row = rows[members[m]];
      for (let i = 0; i < pattern.length; i++) pattern[i] |= row[i] << m;
    }
    counts.fill(0);
    sums.fill(0);
    for (let i = 0; i < pattern.length; i++) {
      const stratum = pattern[i] * width + sample.sizes[i];
      found.known[at] += residuals.own[i] * gamma[bits(pattern[i]) * width + sample.sizes[i]];
      counts[stratum]++;
      sums[stratum] += residuals.heldOut[i];
    }
    for (let w = 0; w < 2 ** s; w++) {
      const r = bits(w);
      for (let t = r; t <= n - s + r; t++) {
        const count = counts[w * width + t];
        const outside = Math.max(choices[t - r] - count, 0);
        const weight = gamma[r * width + t] * outside;
        if (weight === 0) continue;
        found.unseen[at] += Math.abs(weight) / total;
        // Of a stratum without a draw nothing is known but the size of residuals.
        const around = count === 0 ? 1 : 1 / outside;
        found.scatter[at] += weight * weight * squares[t] * around;
        if (count === 0) continue;
        found.others[at] += (weight * sums[w * width + t]) / count;
        found.variance[at] += (weight * weight * squares[t]) / count;
      }
    }
  }
  return found;
}

interface OrderWeights {
  /** Weight of a coalition of t players with r members of the interaction: shape [s + 1][n + 1]. */
  readonly gamma: Float64Array;
  /** Coalitions of the players outside the interaction, by size. */
  readonly choices: Float64Array;
  /** Sum of the absolute weights of all coalitions. */
  readonly total: number;
}

function orderWeights(index: DividendIndex, n: number, s: number, k: number, p: number): OrderWeights {
  const derivatives = derivativesOfDividends(index, n, s, k, p);
  const choices = Float64Array.from({ length: n - s + 1 }, (_, t) => binomial(n - s, t));
  const gamma = new Float64Array((s + 1) * (n + 1));
  let total = 0;
  for (let r = 0; r <= s; r++) {
    for (let t = 0; t <= n - s; t++) {
      gamma[r * (n + 1) + t + r] = ((s - r) % 2 === 0 ? 1 : -1) * derivatives[t];
      total += binomial(s, r) * choices[t] * Math.abs(derivatives[t]);
    }
  }
  return { gamma, choices, total };
}

/** Mean square of the residuals by size; a size with few coalitions leans on the mean of all. */
function squaresBySize({ sizes, coalitions }: CoalitionSample, residuals: Float64Array): Float64Array {
  const counts = new Float64Array(coalitions.players + 1);
  const squares = new Float64Array(coalitions.players + 1);
  let all = 0;
  for (let i = 0; i < residuals.length; i++) {
    counts[sizes[i]]++;
    squares[sizes[i]] += residuals[i] ** 2;
    all += residuals[i] ** 2;
  }
  return squares.map((sum, t) => (sum + all / residuals.length) / (counts[t] + 1));
}

function bits(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}
