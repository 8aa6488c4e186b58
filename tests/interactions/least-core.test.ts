import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { leastCoreSync, ValueTable } from '../../lib/interactions/index.js';
import { expectClose, numbers } from './support.js';

describe('egalitarian least core', () => {
  it('of three players who win in pairs', () => {
    const winners = leastCoreSync(ValueTable.from([0, 0, 0, 100, 0, 100, 100, 100]));
    expectClose(winners.payoffs, [100 / 3, 100 / 3, 100 / 3], 1e-9);
    expect(winners.subsidy).toBeCloseTo(100 / 3, 9);
    const enough = leastCoreSync(ValueTable.from([0, 0, 0, 100, 0, 100, 100, 200]));
    expectClose(enough.payoffs, [200 / 3, 200 / 3, 200 / 3], 1e-9);
    expect(enough.subsidy).toBeCloseTo(0, 9);
  });

  const golden = JSON.parse(
    readFileSync(new URL('../golden/interactions-core.json', import.meta.url), 'utf8'),
  );
  it.each(golden.cases as { values: number[]; subsidy: number; payoffs: number[] }[])(
    'agrees with a linear and a quadratic program (case %#)',
    ({ values, subsidy, payoffs }) => {
      const core = leastCoreSync(ValueTable.from(values));
      expect(Math.abs(core.subsidy - subsidy)).toBeLessThan(1e-8);
      // The oracle's quadratic program stops at a millionth.
      expectClose(core.payoffs, payoffs, 1e-4);
    },
  );

  it('is feasible and pays out everything for larger games', () => {
    for (const n of [8, 10]) {
      const values = numbers(2 ** n, n);
      const { payoffs, subsidy } = leastCoreSync(ValueTable.from(values));
      expect(
        Math.abs(payoffs.reduce((sum, x) => sum + x, 0) - (values[values.length - 1] - values[0])),
      ).toBeLessThan(1e-9);
      for (let mask = 1; mask < values.length - 1; mask++) {
        let paid = subsidy;
        for (let i = 0; i < n; i++) if ((mask >> i) & 1) paid += payoffs[i];
        expect(paid - (values[mask] - values[0])).toBeGreaterThan(-1e-9);
      }
    }
  });

  it('refuses tables that are too large', () => {
    expect(() => leastCoreSync(ValueTable.from(new Float64Array(2 ** 19)))).toThrow(/at most 18/);
    expect(leastCoreSync(ValueTable.from([3, 3, 3, 3])).subsidy).toBe(0);
  });
});
