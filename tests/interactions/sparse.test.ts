import { describe, expect, it } from 'vitest';
import { drawCoalitions } from '../../lib/interactions/estimators/sample.js';
import { sparseFourier } from '../../lib/interactions/estimators/sparse.js';
import { estimate, InteractionSet, interactionsSync, UnanimitySum } from '../../lib/interactions/index.js';
import { denseGame, squaredError } from './support.js';

/** n = 10: 5 image and 5 text players, dividends up to order 4. */
const game = UnanimitySum.random(10, 60, 4, 2);
const exact = game.toTable();
const pairs = { image: [0, 1, 2, 3, 4], text: [5, 6, 7, 8, 9] };

describe('sparse models', () => {
  it('are exact for sparse games of any order up to 4, far below what a regression needs', async () => {
    // 24 players: a regression of order 2 needs 554 coalitions and is blind to order 4.
    const sparse = new UnanimitySum(24, [
      { players: [0], weight: 2 },
      { players: [3, 17], weight: -1.5 },
      { players: [1, 5, 9], weight: 1 },
      { players: [2, 8, 20, 23], weight: 3 },
    ]);
    const found = await estimate(24, sparse.value, {
      estimator: 'sparse',
      budget: 300,
      minOrder: 1,
      seed: 4,
    });
    for (const { players, value, standardError } of found) {
      expect(Math.abs(value - sparse.shapleyInteraction(players))).toBeLessThan(1e-9);
      expect(standardError).toBeLessThan(1e-9);
    }
    expect(found.provenance?.explained).toBeGreaterThan(0.999);
    expect(found.provenance?.spent.evaluations).toBe(300);
    expect(JSON.parse(JSON.stringify(found)).metadata.provenance.explained).toBe(found.provenance?.explained);
    const banzhaf = await estimate(24, sparse.value, {
      estimator: 'sparse',
      index: 'BII',
      budget: 300,
      seed: 4,
      order: 3,
    });
    for (const players of [
      [1, 5, 9],
      [2, 8, 20],
      [0, 1, 2],
      [3, 17],
    ])
      expect(Math.abs(banzhaf.get(...players) - sparse.banzhafInteraction(players))).toBeLessThan(1e-9);
  });

  it('say how wrong they are where the game is not sparse', async () => {
    const truth = interactionsSync(exact, { index: 'SII', order: 2, pairs });
    let [squaredError, squaredStandardError] = [0, 0];
    for (let seed = 0; seed < 8; seed++) {
      const found = await estimate(10, game.value, { estimator: 'sparse', pairs, budget: 100, seed });
      expect(found.provenance?.explained).toBeLessThan(1);
      for (let i = 0; i < truth.values.length; i++) {
        squaredError += (found.values[i] - truth.values[i]) ** 2;
        squaredStandardError += found.standardErrors![i] ** 2;
      }
    }
    const ratio = Math.sqrt(squaredStandardError / squaredError);
    expect(ratio).toBeGreaterThan(0.5);
    expect(ratio).toBeLessThan(2);
  });

  it('leave over what the strata then add: consistent for games without any structure', async () => {
    // Independent values: no model explains anything of them, all is in the residual.
    const dense = denseGame(9, 1, 5, 'values');
    const truth = interactionsSync(dense, { minOrder: 1 });
    const errors: number[] = [];
    for (const budget of [64, 128, 256, 384, 480, 511]) {
      const options = { estimator: 'sparse', budget, seed: 3 } as const;
      const found = await estimate(9, dense.toValueFunction(), options);
      expect(found.provenance!.explained).toBeLessThan(0.2);
      errors.push(squaredError(found, truth));
      // 45 interactions: the mean squared error of an honest estimate is within a factor of 3 of the mean of
      // its variances.
      const claimed = found.standardErrors!.reduce((sum, error) => sum + error * error, 0);
      const missed = found.values.reduce((sum, value, i) => sum + (value - truth.values[i]) ** 2, 0);
      expect(missed / claimed, `budget ${budget}`).toBeLessThan(3);
      expect(missed / claimed, `budget ${budget}`).toBeGreaterThan(1 / 10);
    }
    for (let i = 1; i < errors.length; i++) expect(errors[i]).toBeLessThan(errors[i - 1]);
    expect(errors[5]).toBeLessThan(0.01);
  });

  it('are exact with all coalitions, whatever the models say', async () => {
    const dense = denseGame(7, 1, 6, 'values');
    for (const [index, order] of [
      ['SV', 1],
      ['BV', 1],
      ['SII', 3],
      ['k-SII', 3],
      ['BII', 2],
      ['WBII', 2],
      ['CHII', 2],
      ['STII', 3],
      ['FSII', 3],
      ['FBII', 2],
      ['kADD-SHAP', 2],
    ] as const) {
      const options = { index, order, minOrder: 1, p: 0.3 } as const;
      const truth = interactionsSync(dense, options);
      const value = dense.toValueFunction();
      const found = await estimate(7, value, { ...options, estimator: 'sparse', budget: 128, seed: 1 });
      for (let i = 0; i < truth.values.length; i++)
        expect(Math.abs(found.values[i] - truth.values[i]), `${index} ${i}`).toBeLessThan(1e-10);
      for (const error of found.standardErrors!) expect(error).toBeLessThan(1e-10);
    }
  });

  it('are fitted to 4000 coalitions at most, and corrected by all', async () => {
    const sparse = UnanimitySum.random(13, 10, 3, 8);
    const found = await estimate(13, sparse.value, { estimator: 'sparse', budget: 4300, seed: 2 });
    for (const { players, value } of found)
      expect(Math.abs(value - sparse.shapleyInteraction(players))).toBeLessThan(1e-9);
    // The same limit where it is cheap: 100 of the coalitions of nine players.
    const dense = denseGame(9, 0.6, 9);
    const truth = interactionsSync(dense, { minOrder: 1 });
    const set = new InteractionSet(9, 1, 2);
    const errorOf = async (budget: number): Promise<number> => {
      const sample = drawCoalitions(9, 2, budget, 'shapley', true, 3);
      const y = Float64Array.from({ length: budget }, (_, i) => dense.values[sample.coalitions.mask(i)]);
      const baseline = y[0];
      const centred = y.map((value) => value - baseline);
      const one = await sparseFourier(sample, centred, set, 'SII', 0.5, 3, undefined, 100);
      const missed = one.values.map((value, i) => (value - truth.values[i]) ** 2).reduce((a, b) => a + b);
      expect(missed / one.standardErrors.reduce((a, b) => a + b * b, 0), `${budget}`).toBeLessThan(3);
      return missed;
    };
    const [few, same, more, most] = [
      await errorOf(99),
      await errorOf(120),
      await errorOf(300),
      await errorOf(500),
    ];
    expect(same).toBeLessThan(1.5 * few);
    expect(more).toBeLessThan(same / 3);
    expect(most).toBeLessThan(more / 10);
  }, 60_000);
});
