import { describe, expect, it } from 'vitest';
import { chooseEstimator } from '../../lib/interactions/estimators/choose.js';
import {
  estimatorsWithin,
  leastBudget,
  permutationBlock,
  type Question,
} from '../../lib/interactions/estimators/requirements.js';
import {
  type EstimateOptions,
  estimate,
  Interactions,
  interactionsSync,
  UnanimitySum,
  type ValueFunction,
} from '../../lib/interactions/index.js';
import { expectClose } from './support.js';

function question(players: number, more: Partial<Question> = {}): Question {
  const defaults = { index: 'SII', order: 2, minOrder: 1, sides: null, paired: true, nodes: 3 } as const;
  return { players, ...defaults, ...more };
}

const zero: ValueFunction = (batch) => new Float64Array(batch.length);

describe('the estimator that is taken where none is named', () => {
  const halves = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i < (3 * n) / 4 ? 1 : 2));
  it.each([
    // Twice the coalitions that determine KernelSHAP, any number of players.
    [question(60, { index: 'SV', order: 1 }), 300, 'faithful'],
    [question(1000, { index: 'SV', order: 1 }), 4000, 'faithful'],
    [question(200, { index: 'BV', order: 1 }), 4000, 'faithful'],
    [question(200, { index: 'SV', order: 1 }), 300, 'sparse'],
    // From five times on models that choose their terms are ahead, where they are within reach.
    [question(20, { index: 'SV', order: 1 }), 199, 'faithful'],
    [question(20, { index: 'SV', order: 1 }), 200, 'sparse'],
    [question(1000, { index: 'SV', order: 1 }), 2500, 'permutation'],
    [question(2000, { index: 'SV', order: 1 }), 4100, 'permutation'],
    // Order 2 by the budget.
    [question(14), 2 ** 14, 'regression'],
    [question(14), 2 ** 14 - 1, 'sparse'],
    [question(20), 2 ** 16, 'sparse'],
    [question(20), 2 ** 16 + 1, 'regression'],
    [question(22), 4000, 'sparse'],
    [question(23), 2000, 'sparse'],
    [question(23), 4000, 'regression'],
    [question(14), 40, 'sparse'],
    [question(8), 230, 'sparse'],
    [question(14, { index: 'WBII' }), 2 ** 14, 'shap-iq'],
    [question(14, { index: 'FSII' }), 2 ** 14, 'faithful'],
    [question(14, { index: 'kADD-SHAP' }), 1200, 'sparse'],
    [question(20, { index: 'kADD-SHAP' }), 70_000, 'faithful'],
    [question(14, { index: 'FBII' }), 300, 'sparse'],
    // Sparse models of many players take too long, of more than 282 they have no pairs.
    [question(60), 8000, 'regression'],
    [question(300), 50_000, 'permutation'],
    [question(200, { minOrder: 2, sides: halves(200) }), 60_000, 'product'],
    [question(300), 3000, 'svarm-iq'],
    // Above order 2.
    [question(14, { order: 3 }), 600, 'sparse'],
    [question(14, { order: 3, index: 'FSII' }), 5000, 'sparse'],
    [question(20, { order: 3, index: 'FSII' }), 70_000, 'faithful'],
    [question(12, { order: 3 }), 4096, 'shap-iq'],
    [question(60, { order: 4 }), 3000, 'svarm-iq'],
  ] as const)('%o with %i evaluations: %s', (asked, budget, expected) => {
    const { estimator, reason } = chooseEstimator(asked, budget);
    expect(estimator).toBe(expected);
    expect(reason).toContain(String(budget));
    expect(leastBudget(estimator, asked)).toBeLessThanOrEqual(budget);
  });

  it('is named in the result with its reason, and by its JSON; a named one always runs', async () => {
    const game = UnanimitySum.random(8, 20, 3, 1);
    const found = await estimate(8, game.value, { index: 'SV', budget: 60, seed: 2 });
    expect(found.provenance?.estimator).toBe('faithful');
    expect(found.provenance?.reason).toMatch(/60 coalitions are 3\.8 times the 16/);
    const named = await estimate(8, game.value, { estimator: 'faithful', index: 'SV', budget: 60, seed: 2 });
    expect(named.values).toEqual(found.values);
    expect(named.provenance).not.toHaveProperty('reason');
    const back = Interactions.fromJSON(JSON.parse(JSON.stringify(found)));
    expect(back.provenance).toEqual(found.provenance);
    for (const estimator of ['permutation', 'shap-iq', 'svarm-iq', 'regression'] as const) {
      const other = await estimate(8, game.value, { estimator, index: 'SV', budget: 100 });
      expect(other.provenance?.estimator).toBe(estimator);
    }
  });

  it('computes the Shapley value by regressions of order 1 under every name of it', async () => {
    const game = UnanimitySum.random(7, 40, 5, 11);
    const exact = interactionsSync(game.toTable(), { index: 'SV', minOrder: 1 });
    for (const index of ['SV', 'SII', 'k-SII', 'STII', 'CHII', 'FSII', 'kADD-SHAP'] as const) {
      for (const budget of [128, 127]) {
        const found = await estimate(7, game.value, { index, order: 1, budget });
        // One coalition less than all: its complement still stands for it, up to what order 7 adds.
        expectClose(found.values, exact.values, budget === 128 ? 1e-10 : 0.05, 0, `${index} ${budget}`);
      }
    }
    const banzhaf = interactionsSync(game.toTable(), { index: 'BV', minOrder: 1 });
    for (const index of ['BV', 'BII', 'FBII'] as const) {
      const found = await estimate(7, game.value, { index, order: 1, budget: 128 });
      expectClose(found.values, banzhaf.values, 1e-10, 0, index);
    }
  });
});

describe('what a budget suffices for', () => {
  const refused = async (players: number, options: Partial<EstimateOptions>): Promise<string> =>
    estimate(players, zero, options).then(
      () => 'accepted',
      (error: { message: string }) => error.message,
    );

  it('is named by refusals', async () => {
    expect(await refused(40, { estimator: 'regression', budget: 1000 })).toMatch(
      /With 1000 evaluations 'permutation', 'shap-iq', 'svarm-iq' or 'sparse' can estimate SII of order 2/,
    );
    expect(await refused(10, { estimator: 'permutation', budget: 40 })).toMatch(
      /56 evaluations visit every pair.*'shap-iq', 'svarm-iq' or 'sparse'/,
    );
    expect(await refused(10, { estimator: 'faithful', index: 'FSII', budget: 20 })).toMatch(
      /No estimator makes do with 20 evaluations; 'sparse' takes 40/,
    );
    expect(await refused(10, { budget: 20 })).toMatch(
      /No estimator makes do with 20 evaluations; 'shap-iq' takes 22/,
    );
    expect(await refused(400, { order: 2, budget: 500, index: 'FSII' })).toMatch(
      /No estimator makes do with 500 evaluations; 'faithful' takes 159602/,
    );
    expect(await refused(10, { order: 9, budget: 500 })).toMatch(/at most 8 for auto/);
  });

  it('is what the estimators then accept', async () => {
    for (const [asked, options] of [
      [question(9), {}],
      [question(10), {}],
      [question(10, { index: 'SV', order: 1 }), { index: 'SV' }],
      [question(9, { index: 'FSII' }), { index: 'FSII' }],
      [
        question(9, { minOrder: 2, sides: Uint8Array.of(1, 1, 1, 1, 1, 2, 2, 2, 2) }),
        { pairs: { image: [0, 1, 2, 3, 4], text: [5, 6, 7, 8] } },
      ],
    ] as const) {
      const game = UnanimitySum.random(asked.players, 12, 2, 3);
      for (const budget of [60, 90, 120, 200, 2 ** asked.players]) {
        for (const estimator of estimatorsWithin(asked, budget)) {
          // Random pairs may still miss full rank just above the least budget, which is refused, never wrong.
          if (budget < 1.3 * leastBudget(estimator, asked)) continue;
          const found = await estimate(asked.players, game.value, { ...options, estimator, budget });
          expect(found.values.every(Number.isFinite), `${estimator} with ${budget}`).toBe(true);
        }
      }
    }
  });

  it('visits every pair with the coalitions that permutations are said to take', async () => {
    for (const n of [4, 5, 8, 9, 15, 16]) {
      const least = permutationBlock(n);
      const options = { estimator: 'permutation', minOrder: 2, seed: 5 } as const;
      const found = await estimate(n, zero, { ...options, budget: least });
      expect(found.provenance?.spent.evaluations).toBeLessThanOrEqual(least);
      if (n % 2 === 0) expect(await refused(n, { ...options, budget: least - 1 })).toMatch(/never sampled/);
    }
  });

  it('does not put the whole budget into small coalitions that it cannot finish', async () => {
    // Order 3 of 40 players: 1642 coalitions of fewer than 3 players and their complements, more than the
    // budget.
    const game = UnanimitySum.random(40, 60, 3, 2);
    const sizes = new Set<number>();
    const value: ValueFunction = (batch, signal) => {
      for (const i of Array.from({ length: batch.length }).keys()) {
        let size = 0;
        for (let p = 0; p < 40; p++) if (batch.has(i, p)) size++;
        sizes.add(size);
      }
      return game.value(batch, signal);
    };
    await estimate(40, value, { estimator: 'shap-iq', order: 3, budget: 1000 });
    expect(sizes.size).toBeGreaterThan(30);
  });
});
