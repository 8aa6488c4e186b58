import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { estimatorNames } from '../../lib/interactions/estimators/catalogue.js';
import { estimate, UnanimitySum, type ValueFunction } from '../../lib/interactions/index.js';

describe('abort', () => {
  it('ends a search between two steps, and one long fit', async () => {
    const large = UnanimitySum.random(40, 300, 4, 1);
    for (const estimator of ['sparse', 'regression'] as const) {
      const controller = new AbortController();
      const reason = new Error('no more');
      const running = estimate(40, large.value, {
        estimator,
        budget: 1700,
        seed: 1,
        signal: controller.signal,
        // The last batch of values starts the work that is to be stopped.
        onProgress: (done, total) => done === total && setTimeout(() => controller.abort(reason), 20),
      });
      await expect(running).rejects.toBe(reason);
    }
  });

  const sides = { image: [0, 1, 2, 3, 4], text: [5, 6, 7, 8, 9] };
  for (const estimator of estimatorNames) {
    it(`stops ${estimator} between two batches; progress rises to its end`, async () => {
      const index = estimator === 'faithful' ? 'FSII' : 'SII';
      const game = UnanimitySum.random(10, 40, 2, 3);
      const options = { estimator, index, pairs: sides, budget: 700, batchSize: 50, seed: 2 } as const;
      const seen: [number, number][] = [];
      await estimate(10, game.value, { ...options, onProgress: (done, total) => seen.push([done, total]) });
      expect(seen.length).toBeGreaterThan(5);
      for (const [i, [done, total]] of seen.entries()) {
        expect(done).toBeGreaterThan(i === 0 ? 0 : (seen[i - 1] as [number, number])[0]);
        expect(done).toBeLessThanOrEqual(total);
      }
      const controller = new AbortController();
      const reason = new Error('enough');
      let batches = 0;
      const stopping: ValueFunction = (batch, signal) => {
        if (++batches === 3) controller.abort(reason);
        return game.value(batch, signal);
      };
      await expect(estimate(10, stopping, { ...options, signal: controller.signal })).rejects.toBe(reason);
      expect(batches).toBe(3);
      const early = estimate(10, stopping, { ...options, signal: AbortSignal.abort(reason) });
      await expect(early).rejects.toBe(reason);
      expect(batches).toBe(3);
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    });
  }

  it('reaches moments of many interactions, and lets the event loop run', async () => {
    for (const estimator of ['shap-iq', 'svarm-iq'] as const) {
      const controller = new AbortController();
      const reason = new Error('no more');
      const running = estimate(120, (batch) => new Float64Array(batch.length), {
        estimator,
        budget: 4000,
        signal: controller.signal,
        onProgress: (done, total) => done === total && setTimeout(() => controller.abort(reason), 5),
      });
      await expect(running).rejects.toBe(reason);
    }
  });

  it('of a value function that never settles leaves no listener on the signal', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    let settled = 0;
    const slow: ValueFunction = (batch) =>
      new Promise((resolve) =>
        setTimeout(() => {
          settled++;
          resolve(new Float64Array(batch.length));
        }, 1),
      );
    await estimate(6, slow, { budget: 60, batchSize: 10, signal });
    expect([settled, getEventListeners(signal, 'abort').length]).toEqual([6, 0]);
    const reason = new Error('no more');
    const never = estimate(6, () => new Promise(() => {}), { budget: 60, signal });
    setTimeout(() => controller.abort(reason), 5);
    await expect(never).rejects.toBe(reason);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});
