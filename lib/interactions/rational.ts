/** An exact fraction, for weights whose sums cancel in floating point. */
export class Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;

  constructor(numerator: bigint | number, denominator: bigint | number = 1n) {
    const sign = BigInt(denominator) < 0n ? -1n : 1n;
    const a = sign * BigInt(numerator);
    const b = sign * BigInt(denominator);
    const divisor = greatestCommonDivisor(a < 0n ? -a : a, b);
    this.numerator = a / divisor;
    this.denominator = b / divisor;
  }

  plus(other: Rational): Rational {
    return new Rational(
      this.numerator * other.denominator + other.numerator * this.denominator,
      this.denominator * other.denominator,
    );
  }

  times(other: Rational): Rational {
    return new Rational(this.numerator * other.numerator, this.denominator * other.denominator);
  }

  over(other: Rational): Rational {
    return new Rational(this.numerator * other.denominator, this.denominator * other.numerator);
  }

  /** The nearest double, up to a unit in the last place; both parts must be below 1e308. */
  toNumber(): number {
    return Number(this.numerator) / Number(this.denominator);
  }
}

export const zero = new Rational(0);
export const one = new Rational(1);

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x === 0n ? 1n : x;
}

export function leastMultiple(a: bigint, b: bigint): bigint {
  return (a / greatestCommonDivisor(a, b)) * b;
}

/** a / b as a double to a unit in the last place, for numbers of any length; b > 0. */
export function quotient(a: bigint, b: bigint): number {
  const [sign, size] = a < 0n ? [-1, -a] : [1, a];
  // 64 bits of the quotient, scaled back in two steps: 2^-1074 and what is beyond it are not one power.
  const shift = Math.max(0, b.toString(16).length - size.toString(16).length + 17) * 4;
  const half = Math.floor(shift / 2);
  return sign * (Number((size << BigInt(shift)) / b) * 2 ** -half * 2 ** (half - shift));
}

/** Binomial coefficient, 0 outside 0 <= k <= n. */
export function choose(n: number, k: number): bigint {
  if (k < 0 || k > n) return 0n;
  let result = 1n;
  for (let i = 1; i <= k; i++) result = (result * BigInt(n - k + i)) / BigInt(i);
  return result;
}

const bernoulliNumbers: Rational[] = [one];

/** Bernoulli number B_j with B_1 = -1/2. */
export function bernoulli(j: number): Rational {
  while (bernoulliNumbers.length <= j) {
    const m = bernoulliNumbers.length;
    let sum = zero;
    for (let i = 0; i < m; i++) sum = sum.plus(bernoulliNumbers[i].times(new Rational(choose(m + 1, i))));
    bernoulliNumbers.push(sum.over(new Rational(-(m + 1))));
  }
  return bernoulliNumbers[j];
}
