import { FsynError } from '../../errors.js';
import { Random } from '../../statistics/random.js';
import { CoalitionBatch } from '../coalitions.js';
import { binomial, logBinomial } from '../weights.js';

/**
 * Distinct coalitions with how they were drawn: what a sampler hands to the evaluator and to the estimators.
 * All arrays have one entry per coalition.
 */
export interface CoalitionSample {
  readonly coalitions: CoalitionBatch;
  readonly sizes: Int32Array;
  /** How often each was drawn; 1 for enumerated ones. */
  readonly counts: Float64Array;
  /** 1 when drawn at random, 0 when all coalitions of its size are in the sample. */
  readonly sampled: Uint8Array;
  /** Probability of its size among the draws; 1 for enumerated ones. */
  readonly sizeProbability: Float64Array;
}

export type SizeWeights = 'shapley' | 'uniform';

/**
 * Mass of the sizes 0..n of a draw. 'shapley': proportional to 1 / (t (n - t)) inside, and everything on
 * sizes below k and above n - k until they are exhausted, so that they are enumerated first: for the largest
 * k up to the order that the budget pays for, because what is left of it would otherwise never leave those
 * sizes. 'uniform': all coalitions equally likely.
 */
function sizeMass(n: number, largest: number, budget: number, weights: SizeWeights): Float64Array {
  let order = Math.min(largest, n);
  while (order > 1 && borderCount(n, order) > budget) order--;
  const mass = new Float64Array(n + 1);
  for (let t = 0; t <= n; t++) {
    if (weights === 'uniform') mass[t] = binomialShare(n, t);
    else if (t < order || t > n - order) mass[t] = 1e8;
    else mass[t] = 1 / (t * (n - t));
  }
  return mass;
}

/** Coalitions of fewer than k players, and their complements. */
function borderCount(n: number, k: number): number {
  let count = 0;
  for (let t = 0; t < k; t++) count += 2 * binomial(n, t);
  return Math.min(count, 2 ** n);
}

/** C(n, t) / 2^n without overflow. */
function binomialShare(n: number, t: number): number {
  return Math.exp(logBinomial(n, t) - n * Math.LN2);
}

/**
 * Draws `budget` distinct coalitions (fewer when there are no more), the empty and the full one always among
 * them.
 *
 * Sizes whose expected number of draws covers all their coalitions are enumerated (the border trick of
 * Fumagalli et al. 2023); the rest is drawn with replacement, repeats being free but counted. With `paired`
 * every draw brings its complement (antithetic sampling, Covert & Lee 2021), which makes regressions of order
 * 2 exact for games of order 3.
 */
export function drawCoalitions(
  n: number,
  order: number,
  budget: number,
  weights: SizeWeights,
  paired: boolean,
  seed: number,
): CoalitionSample {
  if (budget < 2)
    throw new FsynError(
      'BUDGET',
      `A budget of ${budget} evaluations is below 2, the empty and the full coalition.`,
    );
  const random = new Random(seed);
  const drawing = new Drawing(n);
  drawing.add([], 0, 1);
  drawing.add(
    Array.from({ length: n }, (_, i) => i),
    0,
    1,
  );
  const probability = sizeMass(n, order, budget, weights);
  probability[0] = 0;
  probability[n] = 0;
  let left = budget - 2;
  normalise(probability);
  for (;;) {
    const full: number[] = [];
    let wanted = 0;
    for (let t = 1; t < n; t++) {
      const count = binomial(n, t);
      // A budget for the border sizes alone pays for them, though other sizes have a billionth of the mass.
      if (probability[t] === 0 || left * probability[t] < count * (1 - 1e-6) || wanted + count > left)
        continue;
      wanted += count;
      full.push(t);
    }
    if (full.length === 0) break;
    for (const t of full) {
      drawing.enumerate(t);
      left -= binomial(n, t);
      probability[t] = 0;
    }
    if (!normalise(probability)) break;
  }
  if (left > 0 && probability.some((q) => q > 0)) {
    drawing.draw(random, probability, left, paired);
  }
  return drawing.finish();
}

function normalise(probability: Float64Array): boolean {
  let sum = 0;
  for (const q of probability) sum += q;
  if (sum <= 0) return false;
  for (let t = 0; t < probability.length; t++) probability[t] /= sum;
  return true;
}

class Drawing {
  readonly #n: number;
  readonly #stride: number;
  readonly #index = new Map<string, number>();
  readonly #words: number[] = [];
  readonly #sizes: number[] = [];
  readonly #counts: number[] = [];
  readonly #sampled: number[] = [];
  readonly #probability: number[] = [];

  constructor(n: number) {
    this.#n = n;
    this.#stride = Math.ceil(n / 32);
  }

  /** Adds or counts a coalition; true when it is new. */
  add(players: ArrayLike<number>, sampled: number, probability: number): boolean {
    const words = new Uint32Array(this.#stride);
    for (let i = 0; i < players.length; i++) words[players[i] >>> 5] |= 1 << (players[i] & 31);
    const key = words.join();
    const known = this.#index.get(key);
    if (known !== undefined) {
      this.#counts[known]++;
      return false;
    }
    this.#index.set(key, this.#sizes.length);
    for (const word of words) this.#words.push(word);
    this.#sizes.push(players.length);
    this.#counts.push(1);
    this.#sampled.push(sampled);
    this.#probability.push(probability);
    return true;
  }

  enumerate(size: number): void {
    const chosen = Array.from({ length: size }, (_, i) => i);
    for (;;) {
      this.add(chosen, 0, 1);
      let at = size - 1;
      while (at >= 0 && chosen[at] === this.#n - size + at) at--;
      if (at < 0) return;
      chosen[at]++;
      for (let i = at + 1; i < size; i++) chosen[i] = chosen[i - 1] + 1;
    }
  }

  draw(random: Random, probability: Float64Array, budget: number, paired: boolean): void {
    const n = this.#n;
    const players = Array.from({ length: n }, (_, i) => i);
    let left = budget;
    let available = 0;
    for (let t = 1; t < n; t++) if (probability[t] > 0) available += binomial(n, t);
    // Nearly exhausted sizes would be drawn for ever; half a million idle draws in a row end it.
    for (let idle = 0; left > 0 && available > 0 && idle < 500_000; ) {
      const size = pick(random, probability);
      for (let i = 0; i < size; i++) {
        const j = i + random.integer(n - i);
        const swap = players[i];
        players[i] = players[j];
        players[j] = swap;
      }
      idle++;
      const take = (coalition: number[]) => {
        if (!this.add(coalition, 1, probability[coalition.length])) return;
        left--;
        available--;
        idle = 0;
      };
      take(players.slice(0, size));
      if (paired && left > 0 && probability[n - size] > 0) take(players.slice(size));
    }
  }

  finish(): CoalitionSample {
    return {
      coalitions: new CoalitionBatch(this.#n, Uint32Array.from(this.#words)),
      sizes: Int32Array.from(this.#sizes),
      counts: Float64Array.from(this.#counts),
      sampled: Uint8Array.from(this.#sampled),
      sizeProbability: Float64Array.from(this.#probability),
    };
  }
}

function pick(random: Random, probability: Float64Array): number {
  let mark = random.uniform();
  let last = 0;
  for (let t = 0; t < probability.length; t++) {
    if (probability[t] === 0) continue;
    last = t;
    mark -= probability[t];
    if (mark < 0) return t;
  }
  return last;
}

/**
 * Importance weights: 1 for enumerated coalitions, count / (draws * probability of the coalition) for drawn
 * ones.
 */
export function importanceWeights(sample: CoalitionSample): Float64Array {
  const n = sample.coalitions.players;
  const draws = drawCount(sample);
  return sample.counts.map((count, i) =>
    sample.sampled[i] ? (count * binomial(n, sample.sizes[i])) / (draws * sample.sizeProbability[i]) : 1,
  );
}

/** Number of draws, repeats included. */
export function drawCount(sample: CoalitionSample): number {
  let draws = 0;
  for (let i = 0; i < sample.counts.length; i++) if (sample.sampled[i]) draws += sample.counts[i];
  return draws;
}

/** Presence by player: entry [p][i] is 1 when player p is in coalition i. */
export function presence(coalitions: CoalitionBatch): Uint8Array[] {
  return Array.from({ length: coalitions.players }, (_, p) =>
    Uint8Array.from({ length: coalitions.length }, (_, i) => (coalitions.has(i, p) ? 1 : 0)),
  );
}
