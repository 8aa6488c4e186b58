import { checkInteger } from '../checks.js';

/** P(X > x) of a chi-squared variable with `degrees` degrees of freedom. */
export function chiSquaredSurvival(x: number, degrees: number): number {
  checkInteger('degrees', degrees, 1);
  return upperGamma(degrees / 2, x / 2);
}

/** P(Z > z) of a standard normal variable. */
export function normalSurvival(z: number): number {
  const tail = upperGamma(0.5, (z * z) / 2) / 2;
  return z >= 0 ? tail : 1 - tail;
}

/**
 * Regularised upper incomplete gamma function Q(a, x) for a a multiple of 1/2: power series below a + 1,
 * Lentz' continued fraction above, where each converges fast (Abramowitz & Stegun 6.5.29 and 6.5.31).
 */
function upperGamma(a: number, x: number): number {
  if (Number.isNaN(x)) return Number.NaN;
  if (x <= 0) return 1;
  const scale = Math.exp(a * Math.log(x) - x - logGamma(a));
  return x < a + 1 ? 1 - scale * lowerSeries(a, x) : scale * upperFraction(a, x);
}

function lowerSeries(a: number, x: number): number {
  let term = 1 / a;
  let sum = term;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum;
}

function upperFraction(a: number, x: number): number {
  // Keeps a vanishing denominator away from zero, as Lentz' method asks.
  const tiny = 1e-300;
  let b = x + 1 - a;
  let c = 1 / tiny;
  let d = 1 / b;
  let result = d;
  for (let n = 1; n < 10_000; n++) {
    const numerator = -n * (n - a);
    b += 2;
    d = numerator * d + b;
    if (Math.abs(d) < tiny) d = tiny;
    c = b + numerator / c;
    if (Math.abs(c) < tiny) c = tiny;
    d = 1 / d;
    const factor = d * c;
    result *= factor;
    if (Math.abs(factor - 1) < 1e-16) break;
  }
  return result;
}

/** log Gamma(a) for a = 1/2, 1, 3/2, ... by the recurrence from Gamma(1/2) = sqrt(pi) and Gamma(1) = 1. */
function logGamma(a: number): number {
  const whole = Number.isInteger(a);
  let sum = whole ? 0 : Math.log(Math.PI) / 2;
  for (let factor = whole ? 1 : 0.5; factor < a; factor++) sum += Math.log(factor);
  return sum;
}
