import { describe, expect, it } from 'vitest';
import { drawCoalitions } from '../../lib/interactions/estimators/sample.js';
import {
  CoalitionBatch,
  estimate,
  estimateFrom,
  Interactions,
  interactionsSync,
  UnanimitySum,
} from '../../lib/interactions/index.js';
import { denseGame, expectClose, squaredError } from './support.js';

const n = 8;
const game = denseGame(n, 0.4, 7);
const value = (mask: number) => game.values[mask];
const masksOf = (batch: CoalitionBatch) => Array.from({ length: batch.length }, (_, i) => batch.mask(i));
const batchOf = (masks: readonly number[]) => new CoalitionBatch(n, Uint32Array.from(masks));
const drawn = drawCoalitions(n, 2, 120, 'shapley', true, 4);
const masks = masksOf(drawn.coalitions);

describe('estimates from given coalitions and values', () => {
  it('are those of the same coalitions drawn, where weights by size are all that decides', async () => {
    for (const estimator of ['svarm-iq', 'sparse'] as const) {
      const asked = await estimate(n, game.toValueFunction(), { estimator, budget: 120, seed: 4 });
      const repeated = masks.flatMap((mask, i) => new Array<number>(drawn.counts[i]).fill(mask));
      const given = await estimateFrom(n, batchOf(repeated), repeated.map(value), { estimator, seed: 4 });
      expectClose(given.values, asked.values, 1e-12, 0, estimator);
      expect(given.provenance).toMatchObject({ estimator, given: true, seed: 4, budget: 120 });
      expect(given.baseline).toBe(game.values[0]);
      const back = Interactions.fromJSON(JSON.parse(JSON.stringify(given)));
      expect(back.provenance).toEqual(given.provenance);
    }
  });

  it('take lists of players, by name too, and masks', async () => {
    const names = Array.from({ length: n }, (_, i) => `p${i}`);
    const lists = masks.map((mask) => names.filter((_, p) => (mask >> p) & 1));
    const values = masks.map(value);
    const byName = await estimateFrom(names, lists, values, { seed: 1 });
    const flat = masks.flatMap((mask) => names.map((_, p) => (mask >> p) & 1));
    const byMask = await estimateFrom(names, CoalitionBatch.fromMasks(n, flat), values, { seed: 1 });
    expect(byMask.values).toEqual(byName.values);
    expect(byName.get('p0', 'p3')).toBe(byName.get(0, 3));
    expect([...CoalitionBatch.fromMasks(n, drawn.coalitions.toMasks()).words]).toEqual([
      ...drawn.coalitions.words,
    ]);
    expect(squaredError(byName, interactionsSync(game, { minOrder: 1 }))).toBeLessThan(0.3);
  });

  it('are exact with all coalitions in any order, by every estimator that takes them', async () => {
    const all = Array.from({ length: 2 ** n }, (_, i) => (i * 77) % 2 ** n);
    for (const [estimator, index] of [
      ['auto', 'SII'],
      ['sparse', 'STII'],
      ['regression', 'SII'],
      ['svarm-iq', 'BII'],
      ['shap-iq', 'CHII'],
      ['kernel-shap-iq', 'SII'],
      ['faithful', 'FSII'],
    ] as const) {
      const found = await estimateFrom(n, batchOf(all), all.map(value), { estimator, index });
      const truth = interactionsSync(game, { index, order: 2, minOrder: 1 });
      expectClose(found.values, truth.values, estimator === 'kernel-shap-iq' ? 1e-6 : 1e-10, 0, estimator);
    }
  });

  it('of more than 32 players', async () => {
    const wide = UnanimitySum.random(40, 12, 2, 3);
    const { coalitions } = drawCoalitions(40, 1, 200, 'shapley', true, 2);
    const values = (await wide.value(coalitions, undefined)) as Float64Array;
    const found = await estimateFrom(40, CoalitionBatch.fromMasks(40, coalitions.toMasks()), values, {
      estimator: 'faithful',
      index: 'SV',
    });
    for (let p = 0; p < 40; p++)
      expect(Math.abs(found.get(p) - wide.shapleyInteraction([p]))).toBeLessThan(0.5);
    const exact = [...Array(40).keys()].reduce((sum, p) => sum + wide.shapleyInteraction([p]), 0);
    expect(found.sum(1)).toBeCloseTo(exact, 8);
  });

  it('refuse what cannot be estimated from, by name', async () => {
    const values = masks.map(value);
    const refused = (coalitions: unknown, numbers: ArrayLike<number> = values, options = {}) =>
      expect(estimateFrom(n, coalitions as CoalitionBatch, numbers, options)).rejects;
    await refused(batchOf(masks.slice(1)), values.slice(1)).toThrow(/the empty coalition among them/);
    await refused(batchOf(masks.filter((m) => m !== 255)), values.slice(1)).toThrow(/the full coalition/);
    await refused(batchOf(masks), values.slice(1)).toThrow(/120 numbers, one per coalition.*119/);
    await refused(batchOf(masks), values.with(5, Number.NaN)).toThrow(/values\[5\]/);
    await refused(batchOf([...masks, 3, 3]), [...values, value(3), 9]).toThrow(/\{0, 1\} has two values/);
    await refused(new CoalitionBatch(9, Uint32Array.of(0))).toThrow(/coalitions of 8 players.*9/);
    await refused([[0], [9]]).toThrow(/from 0 to 7 for player/);
    await refused('all').toThrow(/CoalitionBatch/);
    await refused(batchOf(masks), values, { estimator: 'permutation' }).toThrow(/takes any coalitions/);
    await refused(batchOf(masks), values, { budget: 7 }).toThrow(/budget/);
    const few = [0, 255, 1, 2, 4];
    await refused(batchOf(few), few.map(value), { estimator: 'sparse' }).toMatchObject({ code: 'BUDGET' });
    await refused(batchOf(few), few.map(value), { estimator: 'regression' }).toMatchObject({
      code: 'BUDGET',
    });
    await refused(batchOf(few), few.map(value)).toMatchObject({ code: 'BUDGET' });
    expect(() => CoalitionBatch.fromMasks(3, [0, 1])).toThrow(/3 numbers per coalition/);
    expect(() => CoalitionBatch.fromMasks(2, [0, 2])).toThrow(/masks\[1\]/);
  });
});
