import { describe, expect, it } from 'vitest';
import {
  estimate,
  estimatePair,
  interactionsSync,
  UnanimitySum,
  ValueTable,
} from '../../lib/interactions/index.js';
import { expectClose } from './support.js';

/** A game of 7 players with dividends up to order 5. */
const oracle = UnanimitySum.random(7, 40, 5, 11);
const table = oracle.toTable();

describe('estimators at full budget are exact', () => {
  for (const [estimator, index, order] of [
    ['shap-iq', 'SII', 3],
    ['shap-iq', 'CHII', 2],
    ['svarm-iq', 'CHII', 3],
    ['shap-iq', 'STII', 2],
    ['shap-iq', 'BII', 2],
    ['shap-iq', 'k-SII', 3],
    ['shap-iq', 'SV', 1],
    ['svarm-iq', 'SII', 3],
    ['svarm-iq', 'BV', 1],
    ['kernel-shap-iq', 'SII', 3],
    ['kernel-shap-iq', 'k-SII', 2],
    ['kernel-shap-iq', 'SV', 1],
    ['faithful', 'FSII', 3],
    ['faithful', 'FBII', 2],
    ['faithful', 'BV', 1],
    ['faithful', 'kADD-SHAP', 2],
    ['regression', 'SII', 2],
    ['regression', 'k-SII', 2],
    ['regression', 'STII', 2],
    ['regression', 'BII', 2],
    ['regression', 'SV', 1],
  ] as const) {
    it(`${estimator} ${index} order ${order}`, async () => {
      const found = await estimate(7, oracle.value, { estimator, index, order, budget: 128, seed: 3 });
      const exact = interactionsSync(table, { index, order, minOrder: 1 });
      // KernelSHAP-IQ weighs its border coalitions by 1e8 from level 2 on.
      expectClose(found.values, exact.values, estimator === 'kernel-shap-iq' ? 1e-6 : 1e-10);
      expect(found.provenance?.spent.distinctCoalitions).toBe(128);
    });
  }
});

describe('estimators below full budget', () => {
  // n = 10: 5 image and 5 text players, dividends up to order 4.
  const game = UnanimitySum.random(10, 60, 4, 2);
  const exact = game.toTable();
  const pairs = { image: [0, 1, 2, 3, 4], text: [5, 6, 7, 8, 9] };

  for (const [estimator, index] of [
    ['permutation', 'SII'],
    ['permutation', 'STII'],
    ['permutation', 'BII'],
    ['shap-iq', 'SII'],
    ['svarm-iq', 'SII'],
    ['product', 'SII'],
    ['product', 'BII'],
    ['regression', 'SII'],
    ['regression', 'BII'],
    ['kernel-shap-iq', 'SII'],
  ] as const) {
    it(`${estimator} ${index}: the mean over seeds is right and the standard errors tell the spread`, async () => {
      const truth = interactionsSync(exact, { index, order: 2, pairs });
      const runs = 40;
      const mean = new Float64Array(truth.values.length);
      let squaredError = 0;
      let squaredStandardError = 0;
      for (let seed = 0; seed < runs; seed++) {
        // Three nodes of the product design share its budget, the outer ones with few players present or
        // absent.
        const budget = estimator === 'product' ? 1500 : 300;
        const found = await estimate(10, game.value, { estimator, index, pairs, budget, seed });
        expect(found.provenance?.spent.evaluations).toBeLessThanOrEqual(budget);
        for (let i = 0; i < mean.length; i++) {
          mean[i] += found.values[i] / runs;
          squaredError += (found.values[i] - truth.values[i]) ** 2;
          squaredStandardError += found.standardErrors![i] ** 2;
        }
      }
      const spread = Math.sqrt(squaredError / (runs * mean.length));
      // Means of 40 runs: within 5 of their standard errors, a little more for the slightly biased
      // regressions.
      for (let i = 0; i < mean.length; i++) {
        expect(Math.abs(mean[i] - truth.values[i])).toBeLessThan((5 * spread * 2) / Math.sqrt(runs) + 1e-12);
      }
      const claimed = Math.sqrt(squaredStandardError / (runs * mean.length));
      if (spread > 1e-9) {
        expect(claimed / spread).toBeGreaterThan(0.4);
        expect(claimed / spread).toBeLessThan(3);
      }
    });
  }

  it('paired regressions are exact for games of order 3', async () => {
    const cubic = UnanimitySum.random(9, 50, 3, 4);
    const found = await estimate(9, cubic.value, {
      estimator: 'regression',
      budget: 90,
      minOrder: 2,
      seed: 1,
    });
    for (const { players, value } of found)
      expect(Math.abs(value - cubic.shapleyInteraction(players))).toBeLessThan(1e-9);
  });

  it('product designs are exact for games of order 2 and count image states', async () => {
    const quadratic = UnanimitySum.random(10, 60, 2, 5);
    const found = await estimate(10, quadratic.value, { estimator: 'product', pairs, budget: 200, seed: 1 });
    for (const { players, value } of found)
      expect(Math.abs(value - quadratic.shapleyInteraction(players))).toBeLessThan(1e-9);
    const spent = found.provenance!.spent;
    expect(spent.imageStates).toBeGreaterThan(0);
    expect(spent.imageStates!).toBeLessThan(spent.distinctCoalitions / 3);
  });

  it('the same seed gives the same bytes, another seed others', async () => {
    for (const estimator of ['regression', 'permutation', 'product', 'svarm-iq', 'sparse'] as const) {
      const values = async (seed: number) =>
        (await estimate(10, game.value, { estimator, pairs, budget: 300, seed })).values;
      expect(await values(7)).toEqual(await values(7));
      expect(await values(7)).not.toEqual(await values(8));
    }
  });

  it('a nested design estimates one macro pair', async () => {
    // Macro players {0, 1} and {5, 6}: the quotient game has 8 players.
    const quotient = ValueTable.from(
      Float64Array.from({ length: 2 ** 8 }, (_, mask) => {
        let full = 0;
        const groups = [[0, 1], [5, 6], [2], [3], [4], [7], [8], [9]];
        for (const [g, group] of groups.entries()) if ((mask >> g) & 1) for (const p of group) full |= 1 << p;
        return exact.values[full];
      }),
    );
    for (const index of ['SII', 'BII'] as const) {
      const truth = interactionsSync(quotient, { index, order: 2 }).get(0, 1);
      const runs = 60;
      let [mean, squares, claimed] = [0, 0, 0];
      for (let seed = 0; seed < runs; seed++) {
        const found = await estimatePair(10, game.value, [0, 1], [5, 6], { index, pairs, budget: 160, seed });
        mean += found.value / runs;
        squares += (found.value - truth) ** 2 / runs;
        claimed += found.standardError ** 2 / runs;
        expect(found.provenance.spent.imageStates).toBeLessThanOrEqual(40);
      }
      expect(Math.abs(mean - truth)).toBeLessThan(5 * Math.sqrt(squares / runs));
      expect(Math.sqrt(claimed / squares)).toBeGreaterThan(0.7);
      // Spreading q evenly makes the estimate better than the spread of its own terms says.
      expect(Math.sqrt(claimed / squares)).toBeLessThan(3);
    }
  });

  it('takes thousands of players', async () => {
    const large = UnanimitySum.random(2000, 50, 1, 9);
    const found = await estimate(2000, large.value, {
      estimator: 'permutation',
      index: 'SV',
      budget: 4100,
      seed: 1,
    });
    for (const part of large.parts.slice(0, 5)) {
      expect(Math.abs(found.get(part.players[0]) - large.shapleyInteraction(part.players))).toBeLessThan(
        1e-9,
      );
    }
  });
});
