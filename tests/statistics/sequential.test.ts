import { describe, expect, test } from 'vitest';
import { Random } from '../../lib/statistics/random.js';
import { SignTest } from '../../lib/statistics/sequential.js';
import { SequentialRanking } from '../../lib/statistics/sequential-ranking.js';

describe('the sign of a mean, looked at after every difference', () => {
  test('the wealth of a certificate is that of its bets, by hand', () => {
    const sign = new SignTest(2, 'certified');
    sign.add(1);
    // The first bet is on nothing.
    expect(sign.above).toBe(1);
    sign.add(1);
    // One difference of 1/2 of the bound: mean 1/4, variance (0 + 1/16) / 2, bet min(0.9, 0.25 / 0.09375).
    expect(sign.above).toBeCloseTo(1 / (1 + 0.9 * 0.5), 12);
    expect(sign.below).toBe(1);
    expect(() => sign.add(2.1)).toThrow(/difference/);
  });

  test('the mixture is that of the paper, by hand', () => {
    const sign = new SignTest(1, 'asymptotic');
    for (let i = 0; i < 40; i++) sign.add(i % 2 === 0 ? 0.3 : 0.1);
    const [n, rho2] = [40, 1 / 60];
    const z2 = (n * 0.2) ** 2 / 0.01;
    const evidence = Math.exp((rho2 * z2) / (2 * (n * rho2 + 1))) / Math.sqrt(n * rho2 + 1);
    expect(sign.above).toBeCloseTo(1 / evidence, 12);
    expect(sign.below).toBe(1);
  });

  test('under no difference the certificate is broken at most as often as it says', () => {
    // Skewed and at the bound: 0.9 with chance 0.1, -0.1 else. The mean is 0.
    let broken = 0;
    const runs = 2000;
    for (let run = 0; run < runs; run++) {
      const random = new Random(run);
      const sign = new SignTest(1, 'certified');
      for (let i = 0; i < 120; i++) sign.add(random.uniform() < 0.1 ? 0.9 : -0.1);
      if (Math.min(sign.above, sign.below) <= 0.05) broken++;
    }
    // Two directions at 0.05 each; three standard errors of 2000 runs on top.
    expect(broken / runs).toBeLessThan(0.1 + 3 * Math.sqrt((0.1 * 0.9) / runs));
  });
});

describe('a ranking that stops when it is certain', () => {
  const draw = (random: Random, means: Record<string, number>) =>
    new Map(Object.entries(means).map(([name, mean]) => [name, mean + 0.2 * (random.uniform() - 0.5)]));

  test('finds the order, gives no more values to whose place is certain, and says so', () => {
    const ranking = new SequentialRanking(['c', 'a', 'b'], { alpha: 0.05, bound: 2, guarantee: 'certified' });
    const random = new Random(4);
    let samples = 0;
    expect(ranking.open).toEqual(['c', 'a', 'b']);
    expect(ranking.places[0]).toEqual({ name: 'c', first: 1, last: 3, samples: 0 });
    for (; !ranking.isCertain && samples < 2000; samples++) {
      const values = draw(random, { a: 0.9, b: 0.2, c: 0.05 });
      ranking.add(new Map([...values].filter(([name]) => ranking.open.includes(name))));
    }
    expect(samples).toBeGreaterThan(20);
    expect(samples).toBeLessThan(2000);
    expect(ranking.places.map(({ first, last }) => [first, last])).toEqual([
      [3, 3],
      [1, 1],
      [2, 2],
    ]);
    // The best is certain long before the two others are.
    expect(ranking.places[1].samples).toBeLessThan(ranking.places[0].samples / 2);
    expect(ranking.certain).toContainEqual({ above: 'a', below: 'c' });
  });

  test('equal ones stay open, a pair can be asked for alone, misuse is refused', () => {
    const options = { alpha: 0.05, bound: 2, guarantee: 'asymptotic' } as const;
    const ranking = new SequentialRanking(['a', 'b', 'c'], { ...options, pair: ['b', 'a'] });
    const random = new Random(1);
    for (let i = 0; i < 60; i++) ranking.add(draw(random, { a: 0.1, b: 0.5, c: 0.1 }));
    expect(ranking.isCertain).toBe(true);
    expect(ranking.places).toHaveLength(2);
    const equal = new SequentialRanking(['a', 'c'], options);
    for (let i = 0; i < 60; i++) equal.add(draw(random, { a: 0.1, b: 0.5, c: 0.1 }));
    equal.add(new Map([['a', Number.NaN]]));
    expect(equal.open).toEqual(['a', 'c']);
    expect(equal.pairs[0].samples).toBe(60);
    expect(() => new SequentialRanking(['a'], options)).toThrow(/at least 2/);
    expect(() => new SequentialRanking(['a', 'b'], { ...options, pair: ['a', 'x'] })).toThrow(/pair/);
    expect(() => new SequentialRanking(['a', 'b'], { ...options, alpha: 1 })).toThrow(/alpha/);
  });
});
