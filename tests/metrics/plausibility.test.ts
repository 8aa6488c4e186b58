import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { otsuThreshold, plausibility, plausibilityOf } from '../../lib/metrics/plausibility.js';

interface Case {
  readonly scores: number[];
  readonly marked: number[];
  readonly pointing: number;
  readonly energy: number;
  readonly iou: number;
}
const golden = JSON.parse(
  readFileSync(new URL('../golden/plausibility.json', import.meta.url), 'utf8'),
) as Case[];

describe('plausibility', () => {
  test('is what an independent script finds on random maps', () => {
    for (const { scores, marked, ...expected } of golden) {
      const found = plausibility(scores, Uint8Array.from(marked));
      expect(found?.pointing).toBe(expected.pointing);
      expect(found?.energy).toBeCloseTo(expected.energy, 12);
      expect(found?.iou).toBeCloseTo(expected.iou, 12);
    }
    expect(new Set(golden.map(({ pointing }) => pointing))).toEqual(new Set([0, 1]));
  });

  test('is whole for the truth itself, nothing for its complement and for a constant map', () => {
    const marked = Uint8Array.of(0, 1, 1, 0, 0);
    expect(plausibility(marked, marked)).toEqual({ pointing: 1, energy: 1, iou: 1 });
    expect(plausibility([1, 0, 0, 1, 1], marked)).toEqual({ pointing: 0, energy: 0, iou: 0 });
    expect(plausibility([2, 2, 2, 2, 2], marked)).toEqual({ pointing: 0, energy: 0.4, iou: 0 });
    expect(plausibility([-1, -2, -1, -3, -1], marked)).toMatchObject({ pointing: 1, energy: 0 });
  });

  test('is not said of a modality in which nothing is marked', () => {
    const truth = { image: Uint8Array.of(1, 0), text: Uint8Array.of(0, 0) };
    const found = plausibilityOf({ image: Float64Array.of(3, 1), text: Float64Array.of(1, 2) }, truth);
    expect(found).toEqual({ image: { pointing: 1, energy: 0.75, iou: 1 }, text: null });
  });

  test('parts a map where the parts differ most, of equal cuts at the lowest', () => {
    expect(otsuThreshold([0, 1, 9, 10])).toBe(1);
    expect(otsuThreshold([0, 1, 2])).toBe(0);
    expect(otsuThreshold([0.1, 0.1 + 1e-15, 5])).toBeCloseTo(0.1, 12);
  });
});
