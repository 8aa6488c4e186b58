import { bernoulli, choose, leastMultiple, one, quotient, Rational, zero } from './rational.js';

// The size-only weights that define every index: n players, s = |S| the interaction's size, t = |T|, k the
// maximum order.

/**
 * Indices with derivative weights: I(S) = sum over T outside S of w(s, t) times the discrete derivative of S
 * at T.
 */
export type CardinalIndex = 'SII' | 'BII' | 'WBII' | 'CHII' | 'STII-top' | 'FSII-top' | 'FBII-top';

/**
 * Derivative weight w(s, t), 0 outside 0 <= t <= n - s.
 *
 * SII and BII: Grabisch & Roubens 1999. CHII: Marichal & Roubens 1999. WBII with probability p: Marichal &
 * Mathonet 2011. STII, top order s = k: Sundararajan, Dhamdhere & Agarwal 2020. FSII, FBII, top order: Tsai,
 * Yeh & Ravikumar 2023.
 */
export function derivativeWeight(index: CardinalIndex, n: number, s: number, t: number, p = 0.5): number {
  if (t < 0 || t > n - s) return 0;
  switch (index) {
    case 'SII':
      return 1 / ((n - s + 1) * binomial(n - s, t));
    case 'BII':
    case 'FBII-top':
      return 2 ** -(n - s);
    case 'WBII':
      return p ** t * (1 - p) ** (n - s - t);
    case 'CHII':
      return s / ((s + t) * binomial(n, s + t));
    case 'STII-top':
      return s / (n * binomial(n - 1, t));
    case 'FSII-top':
      // (2s-1)!/((s-1)!)^2 (n-t-1)! (t+s-1)! / (n+s-1)!
      return (s * binomial(2 * s - 1, s)) / ((t + s) * binomial(n + s - 1, t + s));
  }
}

/**
 * Binomial coefficient as a double, to a few units in the last place; Infinity past 1e308, 0 outside 0 <= k
 * <= n.
 */
export function binomial(n: number, k: number): number {
  if (k < 0 || k > n) return 0;
  const least = Math.min(k, n - k);
  let result = 1;
  for (let i = 1; i <= least; i++) result = (result * (n - least + i)) / i;
  return result;
}

/** Natural logarithm of a binomial coefficient, 0 <= k <= n; finite for any n. */
export function logBinomial(n: number, k: number): number {
  let log = 0;
  for (let i = 1; i <= Math.min(k, n - k); i++) log += Math.log((n - Math.min(k, n - k) + i) / i);
  return log;
}

/** Row [w(s, 0), ..., w(s, n - s)]. */
export function derivativeWeights(index: CardinalIndex, n: number, s: number, p = 0.5): Float64Array {
  return Float64Array.from({ length: n - s + 1 }, (_, t) => derivativeWeight(index, n, s, t, p));
}

/** Indices that are size-weighted sums of dividends. */
export type DividendIndex =
  | 'Moebius'
  | 'Co-Moebius'
  | 'SII'
  | 'BII'
  | 'WBII'
  | 'CHII'
  | 'k-SII'
  | 'STII'
  | 'FSII'
  | 'FBII'
  | 'kADD-SHAP';

/**
 * Rows s = minOrder..k of d(s, t), t = 0..n, flattened: I(S) = sum over T >= S of d(s, |T|) m(T), m the
 * dividends. Computed in exact fractions: k-SII and kADD-SHAP are alternating sums of Bernoulli numbers that
 * would lose every digit.
 */
export function dividendWeights(
  index: DividendIndex,
  n: number,
  minOrder: number,
  k: number,
  p = 0.5,
): Float64Array {
  const weights = new Float64Array((k - minOrder + 1) * (n + 1));
  for (let s = minOrder; s <= k; s++) {
    for (let t = s; t <= n; t++) {
      const at = (s - minOrder) * (n + 1) + t;
      weights[at] = index === 'WBII' ? p ** (t - s) : dividendWeight(index, s, t, k).toNumber();
    }
  }
  return weights;
}

function dividendWeight(index: Exclude<DividendIndex, 'WBII'>, s: number, t: number, k: number): Rational {
  switch (index) {
    case 'Moebius':
      return t === s ? one : zero;
    case 'Co-Moebius':
      return one;
    case 'SII':
      return new Rational(1, t - s + 1);
    case 'BII':
      return new Rational(1, 2n ** BigInt(t - s));
    case 'CHII':
      // Undefined for the empty set; what is stored there comes from elsewhere.
      return s === 0 ? zero : new Rational(s, t);
    case 'k-SII':
      return aggregatedShapley(s, t, k);
    case 'STII':
      if (s < k) return t === s ? one : zero;
      return new Rational(1, choose(t, k));
    case 'FSII':
      return faithfulShapley(s, t, k);
    case 'FBII':
      return faithfulBanzhaf(s, t, k);
    case 'kADD-SHAP':
      return additiveShapley(s, t, k);
  }
}

/** Bordt & von Luxburg 2023 in dividends: sum over S <= R <= T, |R| <= k, of B_(r-s) / (t - r + 1). */
function aggregatedShapley(s: number, t: number, k: number): Rational {
  let sum = zero;
  for (let j = 0; j <= Math.min(k, t) - s; j++) {
    sum = sum.plus(bernoulli(j).times(new Rational(choose(t - s, j), t - s - j + 1)));
  }
  return sum;
}

/** Tsai, Yeh & Ravikumar 2023: what the dividends above order k give back to the orders up to k. */
function faithfulShapley(s: number, t: number, k: number): Rational {
  if (t <= k || s === 0) return t === s ? one : zero;
  const sign = (k - s) % 2 === 0 ? 1 : -1;
  return new Rational(sign * s, k + s)
    .times(new Rational(choose(k, s)))
    .times(new Rational(choose(t - 1, k), choose(t + k - 1, k + s)));
}

/** Tsai, Yeh & Ravikumar 2023, the same for uniform weights. */
function faithfulBanzhaf(s: number, t: number, k: number): Rational {
  if (t <= k) return t === s ? one : zero;
  const sign = (k - s) % 2 === 0 ? 1n : -1n;
  return new Rational(sign * choose(t - s - 1, k - s), 2n ** BigInt(t - s));
}

/**
 * Pelegrina, Duarte & Grabisch 2023: the Shapley interaction index of the best k-additive game, which is
 * FSII's.
 */
function additiveShapley(s: number, t: number, k: number): Rational {
  let sum = zero;
  for (let r = s; r <= Math.min(k, t); r++) {
    // How many R with S <= R <= T have r players, and what each of them takes from m(T).
    const share = new Rational(choose(t - s, r - s), r - s + 1);
    sum = sum.plus(share.times(faithfulShapley(r, t, k)));
  }
  return sum;
}

/**
 * Derivative weights of an index that is given by its dividends: [w(0), ..., w(n - s)] with I(S) = sum over T
 * outside S of w(|T|) times the discrete derivative of S at T. They are alternating sums of the dividend
 * weights, in exact fractions.
 */
export function derivativesOfDividends(
  index: DividendIndex,
  n: number,
  s: number,
  k: number,
  p = 0.5,
): Float64Array {
  if (index === 'SII' || index === 'BII' || index === 'WBII' || index === 'CHII')
    return derivativeWeights(index, n, s, p);
  const fractions = Array.from({ length: n - s + 1 }, (_, r) => dividendWeight(index, s, s + r, k));
  const denominator = fractions.reduce((common, { denominator: own }) => leastMultiple(common, own), 1n);
  const numerators = fractions.map((own) => own.numerator * (denominator / own.denominator));
  return Float64Array.from(fractions, (_, t) => {
    // sum over r >= t of (-1)^(r-t) C(n-s-t, r-t) d(s, s+r)
    let [sum, choices] = [0n, 1n];
    for (let r = t; r <= n - s; r++) {
      sum += (r - t) % 2 === 0 ? choices * numerators[r] : -choices * numerators[r];
      choices = (choices * BigInt(n - s - r)) / BigInt(r - t + 1);
    }
    return quotient(sum, denominator);
  });
}

/** Indices made of marginal contributions of whole blocks. */
export type BlockIndex = 'SGV' | 'BGV' | 'CHGV' | 'IGV' | 'EGV' | 'JointSV';

/**
 * Rows s = 1..k of p(s, t), t = 0..n, flattened: G(S) = sum over T outside S of p(s, |T|) (v(T + S) - v(T)).
 * Marichal 2000; Marichal, Kojadinovic & Fujimoto 2007. JointSV: Harris, Pymar & Rowat 2022.
 */
export function blockWeights(index: BlockIndex, n: number, k: number): Float64Array {
  const weights = new Float64Array(k * (n + 1));
  const joint = index === 'JointSV' ? jointWeights(n, k) : [];
  for (let s = 1; s <= k; s++) {
    for (let t = 0; t <= n - s; t++) weights[(s - 1) * (n + 1) + t] = blockWeight(index, n, s, t, joint);
  }
  return weights;
}

function blockWeight(index: BlockIndex, n: number, s: number, t: number, joint: readonly number[]): number {
  switch (index) {
    case 'SGV':
      return derivativeWeight('SII', n, s, t);
    case 'BGV':
      return derivativeWeight('BII', n, s, t);
    case 'CHGV':
      return derivativeWeight('CHII', n, s, t);
    case 'IGV':
      return t === 0 ? 1 : 0;
    case 'EGV':
      return t === n - s ? 1 : 0;
    case 'JointSV':
      return joint[t];
  }
}

function jointWeights(n: number, k: number): number[] {
  const choices = (players: number, most: number): Rational => {
    let sum = 0n;
    for (let s = 1; s <= most; s++) sum += choose(players, s);
    return new Rational(sum);
  };
  const weights = [one.over(choices(n, k))];
  for (let r = 1; r < n; r++) {
    let sum = zero;
    for (let j = Math.max(r - k, 0); j < r; j++) sum = sum.plus(weights[j].times(new Rational(choose(r, j))));
    weights.push(sum.over(choices(n - r, Math.min(k, n - r))));
  }
  return weights.map((weight) => weight.toNumber());
}
