import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rankPlayers } from '../../lib/cells/ranking.js';
import { CellTable } from '../../lib/cells/table.js';
import { requestFaithfulness, scoreFaithfulness } from '../../lib/metrics/faithfulness.js';
import { areaUnderCurve, defaultSteps, playersAtStep } from '../../lib/metrics/steps.js';
import { Random } from '../../lib/statistics/random.js';
import { indicator, playGame } from './games.js';

// Games are scored as log-probabilities so that their values enter the metrics unchanged.
const scoring = 'log-probability';

describe('steps', () => {
  it('rounds half to even in double precision', () => {
    expect(defaultSteps.map((step) => playersAtStep(step, 5))).toEqual([0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5]);
    expect(defaultSteps.map((step) => playersAtStep(step, 4))).toEqual([0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4]);
  });

  it('integrates by the trapezoidal rule', () => {
    expect(areaUnderCurve([0, 0.5, 1], [0, 1, 1])).toBeCloseTo(0.75, 15);
  });

  it('breaks ties to the lower index and refuses scores that are no scores', () => {
    expect([...rankPlayers('image', [0, 1, 1, 0], 4)]).toEqual([1, 2, 0, 3]);
    expect(() => rankPlayers('image', [0, Number.NaN], 2)).toThrow(/finite image scores.*player 1/);
    expect(() => rankPlayers('text', [0], 2)).toThrow(/2 text scores.*received 1/);
  });
});

describe('cells of one sample', () => {
  const random = (n: number, salt: number) => {
    const stream = new Random(salt);
    return Float64Array.from({ length: n }, () => stream.uniform());
  };

  it('needs 76 cells on 20 image and 20 text states for all three metrics, not 118 forward passes', () => {
    const table = new CellTable(64, 20);
    requestFaithfulness(table, { image: random(64, 0), text: random(20, 0) });
    expect([table.cellCount, table.imageStateCount, table.textStateCount]).toEqual([76, 20, 20]);
  });

  it('needs at most 580 cells and 146 image states for eight explainers', () => {
    // Enough players that no two explainers pick the same state by chance.
    const table = new CellTable(640, 200);
    for (let salt = 0; salt < 8; salt++) {
      requestFaithfulness(table, { image: random(640, salt + 100), text: random(200, salt) });
    }
    expect(table.cellCount).toBe(580);
    expect(table.imageStateCount).toBe(146);
  });

  it('shares cells with the Shapley interaction index: 9 * 248 more for one partition', () => {
    const table = new CellTable(640, 200);
    const attribution = { image: random(640, 0), text: random(200, 0) };
    requestFaithfulness(table, attribution, { shapley: { groups: 6, partitions: 1, seed: 1 } });
    expect(table.cellCount).toBe(76 + 9 * 248);
  });
});

describe('synergistic faithfulness', () => {
  const score = (
    game: (image: Uint8Array, text: Uint8Array) => number,
    image: Float64Array,
    text: Float64Array,
    shapley = true,
  ) => {
    const table = new CellTable(image.length, text.length);
    const request = requestFaithfulness(
      table,
      { image, text },
      { scoring, shapley: shapley ? { groups: 3, partitions: 2, seed: 5 } : null },
    );
    return scoreFaithfulness(request, playGame(table, game));
  };

  it('is 0 for additive games, whatever the attribution', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 10, maxLength: 10 }),
        fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 6, maxLength: 6 }),
        (image, text) => {
          const total = (weights: number[], mask: Uint8Array) =>
            weights.reduce((sum, w, i) => sum + w * mask[i], 0);
          const result = score(
            (i, t) => total(image, i) + total(text, t) + 2,
            Float64Array.from(image),
            Float64Array.from(text),
          );
          // Sums of at most 16 numbers of size 3: rounding stays far below 1e-12.
          for (const value of [
            ...result.synergy.insertion,
            ...result.synergy.deletion,
            result.shapley!.auc,
          ]) {
            expect(Math.abs(value)).toBeLessThan(1e-12);
          }
        },
      ),
      { seed: 1, numRuns: 30 },
    );
  });

  it('measures a unanimity game exactly: ranked first 0.95, ranked last 0.05', () => {
    const game = (image: Uint8Array, text: Uint8Array) => (image[4] && text[7] ? 1 : 0);
    const first = score(game, indicator(10, [4]), indicator(10, [7])).synergy;
    const last = score(
      game,
      indicator(10, [4]).map((x) => -x),
      indicator(10, [7]).map((x) => -x),
    ).synergy;
    // Both players enter at step .1 when ranked first (curve 0, 1, 1, ...) and at step 1 when ranked last.
    expect(first.raw.insertion).toBeCloseTo(0.95, 14);
    expect(last.raw.insertion).toBeCloseTo(0.05, 14);
    // Deletion: taking both out of the full input gives 0 - 0 - 0 + 1.
    expect(first.raw.deletion).toBeCloseTo(0.95, 14);
    expect(last.raw.deletion).toBeCloseTo(0.05, 14);
    expect(first.normalised.mean).toBeCloseTo(0.95, 14);
  });

  it('keeps the sign of redundancy, which clipping hides', () => {
    const either = (image: Uint8Array, text: Uint8Array) => (image[4] || text[7] ? 1 : 0);
    const { synergy } = score(either, indicator(10, [4]), indicator(10, [7]));
    expect(synergy.raw.mean).toBeCloseTo(-0.95, 14);
    expect(synergy.clipped.mean).toBe(0);
  });

  it('meets the Shapley interaction index at the shared endpoint and averages its strata before it', () => {
    const game = (image: Uint8Array, text: Uint8Array) => {
      const seen = image.reduce((sum, x, i) => sum + x * (i + 1), 0);
      const read = text.reduce((sum, x, i) => sum + x * (2 * i + 1), 0);
      return Math.tanh(seen * read * 0.001) + (image[0] & text[1]);
    };
    const scores = Float64Array.from({ length: 10 }, (_, i) => 10 - i);
    const { synergy, shapley } = score(game, scores, scores);
    expect(shapley!.curve[10]).toBeCloseTo(synergy.insertion[10], 12);
    expect(synergy.deletion[10]).toBeCloseTo(synergy.insertion[10], 12);
    expect(shapley!.partitionDeviation).toBeGreaterThan(0);
  });

  it('computes the Shapley interaction index of a known game', () => {
    // One image set, one text set and g groups; the game needs both sets and every background player:
    // dividend 1 on the grand coalition of n = g + 2 players, so the index is 1 / (n - 1).
    const all = (image: Uint8Array, text: Uint8Array) =>
      image.every(Boolean) && text.every(Boolean) ? 1 : 0;
    const table = new CellTable(20, 20);
    const scores = Float64Array.from({ length: 20 }, (_, i) => -i);
    const request = requestFaithfulness(
      table,
      { image: scores, text: scores },
      { scoring, shapley: { groups: 4, partitions: 1, seed: 0 } },
    );
    const { shapley } = scoreFaithfulness(request, playGame(table, all));
    expect(shapley!.curve[5]).toBeCloseTo(1 / 5, 14);
  });
});

describe('unimodal curves', () => {
  const table = new CellTable(10, 10);
  const request = requestFaithfulness(
    table,
    { image: indicator(10, [2]), text: indicator(10, [3]) },
    { scoring },
  );
  const result = scoreFaithfulness(
    request,
    playGame(table, (image, text) => 0.2 + 0.5 * image[2] + 0.1 * text[3]),
  );

  it('integrate insertion and deletion, raw and normalised', () => {
    // Insertion .3 -> .8 at the first step, deletion .8 -> .3 at the first step.
    expect(result.image.insertionAuc).toBeCloseTo(0.3 + 0.5 * 0.95, 14);
    expect(result.image.deletionAuc).toBeCloseTo(0.8 - 0.5 * 0.95, 14);
    expect(result.image.srg).toBeCloseTo(0.5 * 0.9, 14);
    expect(result.image.normalisedInsertionAuc).toBeCloseTo(0.95, 14);
    expect(result.text.normalisedSrg).toBeCloseTo(0.9, 14);
  });

  it('divides by the floor when the model ignores the modality', () => {
    const flat = scoreFaithfulness(
      request,
      playGame(table, (image) => image[2]),
    );
    expect(flat.text.normalisedInsertionAuc).toBe(0);
  });
});

describe('options', () => {
  const attribution = { image: new Float64Array(4), text: new Float64Array(4) };
  it('rejects unknown keys and bad steps by name', () => {
    const table = new CellTable(4, 4);
    expect(() => requestFaithfulness(table, attribution, { stepz: [] } as never)).toThrow(
      /Unknown option "stepz".*known options/,
    );
    expect(() => requestFaithfulness(table, attribution, { steps: [0, 0.5] })).toThrow(/steps/);
    expect(() =>
      requestFaithfulness(table, attribution, { shapley: { groups: 0, partitions: 1, seed: 0 } }),
    ).toThrow(/groups/);
  });
});
