import { describe, expect, it } from 'vitest';
import { shapIq } from '../../lib/interactions/estimators/moments.js';
import { drawCoalitions } from '../../lib/interactions/estimators/sample.js';
import {
  type EstimatorName,
  estimate,
  estimatePair,
  InteractionSet,
  type ValueFunction,
} from '../../lib/interactions/index.js';
import {
  derivativesOfDividends,
  derivativeWeights,
  dividendWeights,
} from '../../lib/interactions/weights.js';
import { expectClose } from './support.js';

/** Ten players worth 1 to 10. */
const additive: ValueFunction = (batch) =>
  Float64Array.from({ length: batch.length }, (_, i) => {
    let sum = 0;
    for (let p = 0; p < 10; p++) if (batch.has(i, p)) sum += p + 1;
    return sum;
  });

describe('standard errors', () => {
  it('are not claimed from one draw, and budgets below the least are refused', async () => {
    for (const estimator of ['shap-iq', 'svarm-iq'] as const) {
      for (const budget of [2, 3, 21]) {
        const refused = estimate(10, additive, { estimator, index: 'SV', order: 1, budget });
        await expect(refused).rejects.toMatchObject({
          code: 'BUDGET',
          message: expect.stringMatching(/at least 22 coalitions, got/),
        });
      }
      // Order 2: 22 coalitions are the singles and their complements, and nothing of the sizes between.
      for (const budget of [22, 23]) {
        const options = { estimator, minOrder: 2, budget, paired: false } as const;
        const found = await estimate(10, additive, options);
        for (const error of found.standardErrors!) expect(error).toBe(Number.POSITIVE_INFINITY);
      }
      const found = await estimate(10, additive, { estimator, index: 'SV', order: 1, budget: 24 });
      for (const error of found.standardErrors!) expect(error).toBeLessThan(Number.POSITIVE_INFINITY);
      const all = await estimate(10, additive, { estimator, index: 'SV', order: 1, budget: 1024 });
      for (const error of all.standardErrors!) expect(error).toBe(0);
    }
    const one = drawCoalitions(10, 1, 3, 'shapley', false, 1);
    const set = new InteractionSet(10, 1, 1);
    const found = await shapIq(one, new Float64Array(3), set, 'SII', 0.5, undefined);
    for (const error of found.standardErrors) expect(error).toBe(Number.POSITIVE_INFINITY);
  });

  it('scale with the values, however large or small they are', async () => {
    const game =
      (scale: number): ValueFunction =>
      (batch) =>
        Float64Array.from({ length: batch.length }, (_, i) => {
          const both = batch.has(i, 0) && batch.has(i, 1) ? 1 : -1;
          const noise = ((batch.mask(i) * 2654435761) % 1024) / 1024;
          return (both + (batch.has(i, 2) ? 0.3 : 0) + noise) * scale;
        });
    const pairs = { image: [0, 2, 4, 6], text: [1, 3, 5, 7] };
    const named: EstimatorName[] = [
      'regression',
      'product',
      'permutation',
      'shap-iq',
      'svarm-iq',
      'kernel-shap-iq',
      'sparse',
    ];
    for (const estimator of [...named, 'auto' as const]) {
      const options = { estimator, pairs, budget: 200, seed: 1 };
      const plain = await estimate(8, game(1), options);
      // Powers of two: not a bit changes but the exponent.
      for (const scale of [2 ** 660, 2 ** 1000, 2 ** -660]) {
        const found = await estimate(8, game(scale), options);
        expect([...found.values], `${estimator} ${scale}`).toEqual([...plain.values.map((x) => x * scale)]);
        expect([...found.standardErrors!], `${estimator} ${scale}`).toEqual([
          ...plain.standardErrors!.map((x) => x * scale),
        ]);
        expect(found.baseline).toBe(plain.baseline * scale);
      }
    }
    const pair = await estimatePair(8, game(2 ** 660), [0, 2], [1], { pairs, budget: 400 });
    const plain = await estimatePair(8, game(1), [0, 2], [1], { pairs, budget: 400 });
    expect(pair.standardError).toBe(plain.standardError * 2 ** 660);
    expect(pair.value).toBe(plain.value * 2 ** 660);
  });
});

describe('derivative weights of indices that are given by their dividends', () => {
  it('are the closed forms where there is one', () => {
    for (const n of [3, 8, 40, 150]) {
      const relative = (got: Float64Array, expected: Float64Array, label: string) =>
        expectClose(got, expected, 0, 1e-12, `${label} of ${n}`);
      relative(derivativesOfDividends('FSII', n, 2, 2), derivativeWeights('FSII-top', n, 2), 'FSII');
      relative(derivativesOfDividends('FBII', n, 2, 2), derivativeWeights('FBII-top', n, 2), 'FBII');
      relative(derivativesOfDividends('STII', n, 3, 3), derivativeWeights('STII-top', n, 3), 'STII');
      relative(derivativesOfDividends('k-SII', n, 2, 2), derivativeWeights('SII', n, 2), 'k-SII');
    }
  });

  it('give the dividend weights back', () => {
    // d(s, s + r) is the sum over t >= r of C(n - s - r, t - r) w(t): how often T holds the dividend's other
    // players.
    const choose = (a: number, b: number) => {
      let result = 1;
      for (let i = 1; i <= b; i++) result = (result * (a - b + i)) / i;
      return result;
    };
    const n = 12;
    for (const index of ['k-SII', 'STII', 'FSII', 'FBII', 'kADD-SHAP', 'SII', 'CHII', 'WBII'] as const) {
      const k = 3;
      const dividends = dividendWeights(index, n, 1, k, 0.3);
      for (let s = 1; s <= k; s++) {
        const own = derivativesOfDividends(index, n, s, k, 0.3);
        for (let r = 0; r <= n - s; r++) {
          let sum = 0;
          for (let t = r; t <= n - s; t++) sum += choose(n - s - r, t - r) * own[t];
          expect(Math.abs(sum - dividends[(s - 1) * (n + 1) + s + r]), `${index} ${s} ${r}`).toBeLessThan(
            1e-9,
          );
        }
      }
    }
  });
});
