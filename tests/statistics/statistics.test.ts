import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootstrapMean, quantile } from '../../lib/statistics/bootstrap.js';
import { deriveSeed, Random } from '../../lib/statistics/random.js';
import { kendall, pearson, ranks, spearman } from '../../lib/statistics/ranks.js';

describe('random', () => {
  it('repeats its stream for a seed and differs between seeds', () => {
    const stream = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 5 }, () => random.bits());
    };
    expect(stream(7)).toEqual(stream(7));
    expect(stream(7)).not.toEqual(stream(8));
  });

  it('draws permutations that are uniform enough', () => {
    const random = new Random(3);
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const key = random.permutation(3).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // Binomial(6000, 1/6) has standard deviation 29; six of them are a one-in-10^8 event.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(175);
  });

  it('derives seeds from every part', () => {
    expect(deriveSeed(1, 'a', 'b')).toBe(deriveSeed(1, 'a', 'b'));
    expect(deriveSeed(1, 'ab')).not.toBe(deriveSeed(1, 'a', 'b'));
  });
});

describe('rank statistics', () => {
  // Expected values computed with scipy.stats 1.17 (spearmanr, kendalltau, pearsonr).
  const x = [1, 2, 2, 4, 5, 7];
  const y = [3, 1, 4, 4, 9, 6];
  it('agree with an independent implementation', () => {
    expect([...ranks([3, 1, 3, 2])]).toEqual([3.5, 1, 3.5, 2]);
    expect(pearson(x, y)).toBeCloseTo(0.6952687917708213, 12);
    expect(spearman(x, y)).toBeCloseTo(0.8088235294117647, 12);
    expect(kendall(x, y)).toBeCloseTo(0.6428571428571428, 12);
  });

  it('do not exist for constants, whatever their length and the rounding of their sums', () => {
    const ascending = (n: number) => Array.from({ length: n }, (_, i) => i);
    for (let n = 0; n <= 64; n++) {
      for (const value of [0, 0.1, -0.7, 1 / 3, 1e200, -1.7e308, 5e-324]) {
        const constant = new Array<number>(n).fill(value);
        for (const other of [ascending(n), new Array<number>(n).fill(0.7), constant]) {
          for (const correlation of [pearson, spearman, kendall]) {
            expect(correlation(constant, other), `${correlation.name} of ${n} times ${value}`).toBeNaN();
            expect(correlation(other, constant), `${correlation.name} of ${n} times ${value}`).toBeNaN();
          }
        }
      }
    }
  });

  it('do not depend on the size of the values', () => {
    // Powers of two scale exactly. A common offset of 1 leaves 2^-50 as the unit in the last place but two.
    for (const [scale, offset] of [
      [2 ** 664, 0],
      [2 ** 1021, 0],
      [2 ** -1060, 0],
      [2 ** -50, 1],
    ]) {
      const sized = x.map((value) => value * scale + offset);
      expect(pearson(sized, y)).toBeCloseTo(0.6952687917708213, 12);
      expect(pearson(y, sized)).toBeCloseTo(0.6952687917708213, 12);
      expect(spearman(sized, y)).toBeCloseTo(0.8088235294117647, 12);
    }
    expect(pearson([1e200, 2e200, 3e200], [3, 2, 1])).toBe(-1);
    expect(pearson([-1.7e308, 0, 1.7e308], [1, 2, 3])).toBe(1);
    // By hand: three values in a line with one far off, where the mean of the near ones is lost beside it.
    expect(pearson([1, 2, 1e200], [0, 0, 1])).toBe(1);
  });

  it('name values that are not finite by their place', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const correlation of [pearson, spearman, kendall]) {
        expect(() => correlation([1, 2, bad], [1, 2, 3])).toThrow(/finite number for x\[2\]/);
        expect(() => correlation([1, 2, 3], [1, bad, 3])).toThrow(/finite number for y\[1\]/);
      }
      expect(() => ranks([3, bad])).toThrow(/finite number for values\[1\]/);
    }
  });

  it('are invariant under increasing maps', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 })), {
          minLength: 4,
        }),
        (pairs) => {
          const a = pairs.map((p) => p[0]);
          const b = pairs.map((p) => p[1]);
          expect(
            kendall(
              a.map((v) => v ** 3),
              b,
            ),
          ).toEqual(kendall(a, b));
          expect(
            spearman(
              a.map((v) => v ** 3),
              b,
            ),
          ).toEqual(spearman(a, b));
        },
      ),
      { seed: 2, numRuns: 50 },
    );
  });
});

describe('bootstrap', () => {
  it('covers the mean of normal-like data about as often as it says', () => {
    const random = new Random(11);
    let covered = 0;
    const trials = 200;
    for (let trial = 0; trial < trials; trial++) {
      const sample = Float64Array.from(
        { length: 40 },
        () => random.uniform() + random.uniform() + random.uniform(),
      );
      const { low, high } = bootstrapMean(sample, { resamples: 400, seed: trial });
      if (low <= 1.5 && 1.5 <= high) covered++;
    }
    // 95 % nominal; percentile intervals of 40 observations undercover slightly. Binomial sd is 3.
    expect(covered).toBeGreaterThan(175);
    expect(covered).toBeLessThan(200);
  });

  it('interpolates quantiles and gives no interval for one observation', () => {
    expect(quantile([0, 1, 2, 3], 0.5)).toBe(1.5);
    expect(bootstrapMean([2])).toEqual({ estimate: 2, low: Number.NaN, high: Number.NaN });
  });
});
