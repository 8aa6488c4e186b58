import { expect } from 'vitest';

/**
 * |actual - expected| <= absolute + relative |expected|, with the place of the worst difference in the
 * message.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  absolute: number,
  relative = 0,
  label = '',
): void {
  expect(actual.length, `${label} length`).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= absolute + relative * Math.abs(expected[i]))) {
      expect.fail(`${label}[${i}]: expected ${expected[i]} but got ${actual[i]}, difference ${difference}`);
    }
  }
}

/** Seeded numbers in -1..1 (a linear congruential generator; only variety matters here). */
export function numbers(count: number, seed: number): Float64Array {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
