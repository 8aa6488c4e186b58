import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutRuns, type RunCosts } from '../../lib/inference/runs.js';

interface Limits {
  readonly rows: number;
  readonly tokens: number;
}

/** Cost of a division into runs; undefined where it breaks a limit. */
function costOf(runs: readonly number[], lengths: readonly number[], costs: RunCosts, limits: Limits) {
  let total = 0;
  let first = 0;
  for (const rows of runs) {
    const longest = lengths[first];
    // A run may exceed the tokens by less than its last sequence.
    if (rows > 1 && (rows > limits.rows || (rows - 1) * longest >= limits.tokens)) return undefined;
    total += costs.run + rows * longest + (rows > 1 ? rows * costs.copy : 0);
    first += rows;
  }
  return total;
}

/** All ways to write `count` as an ordered sum. */
function* compositions(count: number): Generator<number[]> {
  if (count === 0) yield [];
  for (let rows = 1; rows <= count; rows++)
    for (const rest of compositions(count - rows)) yield [rows, ...rest];
}

test('no division within the limits costs less', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 9 }),
      fc.record({ run: fc.nat({ max: 120 }), copy: fc.nat({ max: 40 }) }),
      fc.record({ rows: fc.integer({ min: 1, max: 9 }), tokens: fc.integer({ min: 1, max: 300 }) }),
      (given, costs, limits) => {
        const lengths = given.sort((a, b) => b - a);
        const runs = cutRuns(lengths, costs, limits);
        expect(runs.reduce((sum, rows) => sum + rows, 0)).toBe(lengths.length);
        const cost = costOf(runs, lengths, costs, limits);
        for (const other of compositions(lengths.length)) {
          const alternative = costOf(other, lengths, costs, limits);
          if (alternative !== undefined) expect(cost).toBeLessThanOrEqual(alternative);
        }
      },
    ),
    { numRuns: 150, seed: 51 },
  );
});

test('runs share where starting one is dear, and stand alone where padding or copies are', () => {
  const limits = { rows: 8, tokens: 512 };
  expect(cutRuns([30, 20, 10], { run: 100, copy: 0 }, limits)).toEqual([3]);
  expect(cutRuns([30, 20, 10], { run: 5, copy: 0 }, limits)).toEqual([1, 1, 1]);
  expect(cutRuns([30, 30, 10], { run: 10, copy: 0 }, limits)).toEqual([2, 1]);
  expect(cutRuns([30, 30, 10], { run: 10, copy: 6 }, limits)).toEqual([1, 1, 1]);
  // Equal costs: the first runs are the long ones.
  expect(cutRuns([4, 4, 4, 4], { run: 0, copy: 0 }, limits)).toEqual([4]);
  expect(cutRuns([], { run: 1, copy: 1 }, limits)).toEqual([]);
});

test('ends on any costs, lengths and limits', () => {
  const odd = fc.constantFrom(Number.POSITIVE_INFINITY, Number.NaN, 0, -1, 5);
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 80 }), { maxLength: 9 }),
      fc.record({ run: odd, copy: odd }),
      fc.record({ rows: odd, tokens: odd }),
      (given, costs, limits) => {
        const lengths = given.sort((a, b) => b - a);
        const runs = cutRuns(lengths, costs, limits);
        expect(runs.every((rows) => rows >= 1)).toBe(true);
        expect(runs.reduce((sum, rows) => sum + rows, 0)).toBe(lengths.length);
      },
    ),
    { numRuns: 300, seed: 52 },
  );
});
