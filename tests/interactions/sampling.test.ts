import { describe, expect, it } from 'vitest';
import { gaussLegendre } from '../../lib/interactions/estimators/product.js';
import { drawCoalitions } from '../../lib/interactions/estimators/sample.js';
import { estimate } from '../../lib/interactions/index.js';
import { numbers } from './support.js';

describe('sampling', () => {
  it('draws distinct coalitions up to the budget, enumerates cheap sizes and pairs complements', () => {
    const sample = drawCoalitions(12, 2, 200, 'shapley', true, 5);
    const masks = Array.from(sample.coalitions.words);
    expect(masks.length).toBe(200);
    expect(new Set(masks).size).toBe(200);
    expect(masks.slice(0, 2)).toEqual([0, 4095]);
    expect(masks.filter((mask) => masks.includes(4095 ^ mask)).length).toBeGreaterThanOrEqual(199);
    for (const [i, size] of sample.sizes.entries())
      if (size <= 1 || size >= 11) expect(sample.sampled[i]).toBe(0);
    expect(drawCoalitions(5, 2, 1000, 'uniform', true, 1).coalitions.length).toBe(32);
  });

  it('Gauss-Legendre nodes integrate polynomials on 0..1', () => {
    for (const count of [1, 2, 3, 6]) {
      const nodes = gaussLegendre(count);
      for (let power = 0; power < 2 * count; power++) {
        const integral = nodes.reduce((sum, { node, weight }) => sum + weight * node ** power, 0);
        expect(Math.abs(integral - 1 / (power + 1))).toBeLessThan(1e-14);
      }
    }
  });

  it('evaluates in batches and reports progress', async () => {
    const sizes: number[] = [];
    const seen: number[] = [];
    const values = numbers(64, 1);
    const found = await estimate(
      6,
      (batch) => {
        sizes.push(batch.length);
        return Float64Array.from({ length: batch.length }, (_, i) => values[batch.mask(i)]);
      },
      {
        estimator: 'svarm-iq',
        budget: 50,
        batchSize: 20,
        onProgress: (done, total) => seen.push(done / total),
      },
    );
    expect(sizes).toEqual([20, 20, 10]);
    expect(seen).toEqual([0.4, 0.8, 1]);
    expect(found.baseline).toBe(values[0]);
    expect(JSON.parse(JSON.stringify(found)).metadata.estimation_budget).toBe(50);
  });
});
