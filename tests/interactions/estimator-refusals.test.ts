import { describe, expect, it, vi } from 'vitest';
import { addon } from '../../lib/addon/addon.js';
import { FsynError } from '../../lib/errors.js';
import {
  type EstimateOptions,
  estimate,
  estimatePair,
  estimatorsOf,
  type ValueFunction,
} from '../../lib/interactions/index.js';

describe('what estimators refuse', () => {
  const game: ValueFunction = (batch) => new Float64Array(batch.length);
  const rejection = async (options: Partial<EstimateOptions>, players = 10) => {
    try {
      await estimate(players, game, options);
    } catch (error) {
      return error as { code?: string; message: string };
    }
    throw new Error('was accepted');
  };

  it('budgets that cannot determine the answer', async () => {
    expect((await rejection({ estimator: 'permutation', budget: 40 })).code).toBe('BUDGET');
    expect((await rejection({ estimator: 'regression', budget: 30 })).code).toBe('BUDGET');
    expect((await rejection({ estimator: 'sparse', budget: 39 })).code).toBe('BUDGET');
    expect((await rejection({ estimator: 'faithful', index: 'FSII', budget: 20 })).code).toBe('BUDGET');
    expect(['BUDGET', 'RANK_DEFICIENT']).toContain(
      (await rejection({ estimator: 'faithful', index: 'FSII', order: 3, budget: 180 }, 10)).code,
    );
    const pairs = { image: [0, 1, 2, 3, 4], text: [5, 6, 7, 8, 9] };
    expect((await rejection({ estimator: 'product', pairs, budget: 60 })).code).toBe('BUDGET');
    await expect(estimatePair(10, game, [0], [5], { pairs, budget: 15 })).rejects.toThrow(/at least 16/);
  });

  it('a paired sample of deficient rank, where the peer returns an arbitrary solution', async () => {
    // n = 8, order 3, budget 120 with pairs: 88 of 93 columns (the peer's values then differ by up to 7.7).
    let deficient = 0;
    for (let seed = 0; seed < 5; seed++) {
      const error = await rejection(
        { estimator: 'faithful', index: 'FSII', order: 3, budget: 120, seed },
        8,
      ).catch(() => null);
      if (error?.code === 'RANK_DEFICIENT') deficient++;
    }
    expect(deficient).toBe(5);
  });

  it('misuse', async () => {
    expect((await rejection({ estimator: 'magic' as 'regression' })).message).toMatch(
      /one of auto, regression/,
    );
    expect((await rejection({ estimator: 'kernel-shap-iq', index: 'STII' })).message).toMatch(
      /for kernel-shap-iq/,
    );
    expect((await rejection({ estimator: 'regression', order: 3 })).message).toMatch(/at most 2/);
    expect((await rejection({ budget: 1.5 })).message).toMatch(/budget/);
    expect((await rejection({ estimator: 'product' })).message).toMatch(/both modalities/);
    expect(
      (await rejection({ estimator: 'product', pairs: { image: [0], text: [1] }, budget: 4000 })).message,
    ).toMatch(/every player/);
    expect((await rejection({ estimator: 'shap-iq', index: 'FSII', minOrder: 1 })).message).toMatch(
      /largest order/,
    );
    expect((await rejection({ budgets: 12 } as object)).message).toMatch(/Unknown option/);
    for (const estimator of ['svarm-iq', 'shap-iq', 'kernel-shap-iq', 'regression'] as const) {
      const error = await rejection({ estimator, index: 'SV', budget: 4100 }, 1001);
      expect(error.message).toMatch(/at most 1000 players.*'permutation' takes any number/);
    }
    expect((await rejection({}, 1)).message).toMatch(/at least 2 players|order/);
    expect(estimatorsOf('FSII')).toEqual(['shap-iq', 'svarm-iq', 'faithful', 'sparse']);
  });

  it('regressions that a budget cannot determine or memory cannot hold, before any evaluation', async () => {
    const pairs = { image: [0, 1, 2], text: [3, 4, 5] };
    const cases: readonly [number, Partial<EstimateOptions>, string, RegExp][] = [
      [
        200,
        { estimator: 'regression', order: 1, index: 'SV', budget: 4000 },
        'BUDGET',
        /20099 independent.*about 39802/,
      ],
      [200, { estimator: 'regression', pairs, budget: 10_000 }, 'BUDGET', /20099/],
      [200, { pairs, budget: 10_000, estimator: 'kernel-shap-iq' }, 'BUDGET', /19900/],
      [
        40,
        { estimator: 'regression', budget: 1000 },
        'RANK_DEFICIENT',
        /819 independent equations, got at most/,
      ],
      [40, { estimator: 'regression', budget: 1000, index: 'BII' }, 'RANK_DEFICIENT', /821/],
      [40, { budget: 1000, estimator: 'kernel-shap-iq' }, 'RANK_DEFICIENT', /780/],
      [40, { budget: 700, estimator: 'faithful', index: 'FSII' }, 'BUDGET', /819/],
      [1000, { order: 1, index: 'SV', estimator: 'faithful', budget: 1500 }, 'RANK_DEFICIENT', /999/],
      [1000, { order: 1, index: 'SV', estimator: 'faithful', budget: 900 }, 'BUDGET', /999/],
      [1000, { estimator: 'regression', order: 1, index: 'SV', budget: 4000 }, 'BUDGET', /500499/],
    ];
    for (const [players, options, code, text] of cases) {
      let asked = 0;
      const value: ValueFunction = (batch) => {
        asked += batch.length;
        return new Float64Array(batch.length);
      };
      const failed = await estimate(players, value, options).then(
        () => null,
        (error: unknown) => error as FsynError,
      );
      expect([failed?.code, asked], JSON.stringify(options)).toEqual([code, 0]);
      expect(failed?.message).toMatch(text);
    }
    const memory = vi.spyOn(addon(), 'requireMemory').mockImplementation((bytes, purpose) => {
      throw new FsynError('OUT_OF_MEMORY', `${purpose}: ${bytes}`);
    });
    let asked = 0;
    const counting: ValueFunction = (batch) => {
      asked += batch.length;
      return new Float64Array(batch.length);
    };
    const running = estimate(20, counting, { estimator: 'regression', budget: 1000 });
    // Two matrices of 998 x 210 and a square one of 210, of doubles.
    await expect(running).rejects.toThrow(/on 998 coalitions: 3706080/);
    memory.mockRestore();
    expect(asked).toBe(0);
  });

  it('a thousand players take one regression of order 1', async () => {
    const value: ValueFunction = (batch) =>
      Float64Array.from(
        { length: batch.length },
        (_, i) => (batch.has(i, 7) ? 2 : 0) - (batch.has(i, 900) ? 1 : 0),
      );
    for (const estimator of ['faithful', 'kernel-shap-iq'] as const) {
      const found = await estimate(1000, value, { estimator, index: 'SV', budget: 2100, seed: 1 });
      for (const { players, value: share } of found)
        expect(Math.abs(share - (players[0] === 7 ? 2 : players[0] === 900 ? -1 : 0))).toBeLessThan(1e-9);
    }
  }, 60_000);

  it('value functions that fail, and keeps nothing running after an abort', async () => {
    const boom = new Error('boom');
    const failing: ValueFunction = async () => {
      throw boom;
    };
    await expect(estimate(6, failing, { budget: 40 })).rejects.toBe(boom);
    const own = new FsynError('BUDGET', 'of the value function');
    await expect(estimate(6, () => Promise.reject(own), { budget: 40 })).rejects.toBe(own);
    await expect(estimate(6, () => [1], { budget: 40 })).rejects.toThrow(/40 values/);
    const controller = new AbortController();
    let calls = 0;
    const slow: ValueFunction = async (batch) => {
      calls++;
      controller.abort(boom);
      return new Float64Array(batch.length);
    };
    await expect(estimate(6, slow, { budget: 60, batchSize: 10, signal: controller.signal })).rejects.toBe(
      boom,
    );
    expect(calls).toBe(1);
  });
});
