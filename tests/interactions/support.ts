import { expect } from 'vitest';
import { type Interactions, transformSync, ValueTable } from '../../lib/interactions/index.js';
import { Random } from '../../lib/statistics/random.js';

/**
 * A game of all orders: independent normal values ('values'), or independent normal Fourier coefficients
 * whose share of the variance falls by `decay` from order to order.
 */
export function denseGame(
  players: number,
  decay: number,
  seed: number,
  kind: 'values' | 'fourier' = 'fourier',
): ValueTable {
  const random = new Random(seed);
  const values = Float64Array.from({ length: 2 ** players }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
    return radius * Math.cos(2 * Math.PI * random.uniform());
  });
  if (kind === 'values') return ValueTable.from(values);
  for (let s = 0; s < values.length; s++) {
    let [size, choices] = [0, 1];
    for (let rest = s; rest !== 0; rest &= rest - 1) {
      choices = (choices * (players - size)) / (size + 1);
      size++;
    }
    values[s] *= Math.sqrt(decay ** size / choices);
  }
  return ValueTable.from(transformSync(values, 'walshHadamard'));
}

/** Squared error of all interactions relative to their squares. */
export function squaredError(found: Interactions, truth: Interactions): number {
  let [difference, size] = [0, 0];
  for (const { players, value } of truth) {
    difference += (found.get(...players) - value) ** 2;
    size += value ** 2;
  }
  return difference / size;
}

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
