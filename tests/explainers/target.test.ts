import { expect, test } from 'vitest';
import { checkTarget, explainedOf, type Target } from '../../lib/explainers/white-box/target.js';

const row = Float32Array.of(2, -1, 0.5, 3, 1.25);
const token = 2;
const rival = 3;

test.each(['logit', 'contrast', 'log-probability', 'probability'] as const)(
  '%s: value and gradient by definition',
  (target: Target) => {
    const against = target === 'contrast' ? rival : undefined;
    const exact = (logits: ArrayLike<number>) => {
      const values = Array.from(logits);
      const total = values.reduce((sum, x) => sum + Math.exp(x), 0);
      const chosen = values[token];
      if (target === 'logit') return chosen;
      if (target === 'contrast') return chosen - values[rival];
      return target === 'probability' ? Math.exp(chosen) / total : chosen - Math.log(total);
    };
    const { value, seed } = explainedOf(row, token, against, target);
    expect(value).toBeCloseTo(exact(row), 12);
    // Central differences in float64: (1e-4)^2 of curvature.
    for (const [i, gradient] of seed.entries()) {
      const moved = (by: number) => exact(Float64Array.from(row, (x, j) => (j === i ? x + by : x)));
      expect(Math.abs(gradient - (moved(1e-4) - moved(-1e-4)) / 2e-4)).toBeLessThan(1e-6);
    }
  },
);

test('large logits do not overflow', () => {
  const { value, seed } = explainedOf(Float32Array.of(1000, 990), 1, undefined, 'log-probability');
  expect(value).toBeCloseTo(-10 - Math.log1p(Math.exp(-10)), 10);
  expect(seed[0]).toBeCloseTo(-1, 3);
});

test('another target is refused', () => {
  expect(() => checkTarget('loss' as Target)).toThrow(/contrast, logit, log-probability, probability/);
});
