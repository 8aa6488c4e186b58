import ndarray from 'ndarray';
import { describe, expect, it } from 'vitest';
import {
  Interactions,
  interactionsSync,
  kernelFacts,
  transform,
  transformSync,
  type ValueFunction,
  ValueTable,
} from '../../lib/interactions/index.js';
import { numbers } from './support.js';

describe('ValueTable', () => {
  it('refuses what is not a game', () => {
    expect(() => ValueTable.from(new Float64Array(12))).toThrow(/2\^players values.*received 12/);
    expect(() => ValueTable.from(new Float64Array(1))).toThrow(/2\^players values/);
    expect(() => ValueTable.from([])).toThrow(/2\^players values/);
    expect(() => ValueTable.from([0, 1, Number.NaN, 3])).toThrow(/values\[2\].*NaN/);
    expect(() => ValueTable.from(Float32Array.of(0, Number.POSITIVE_INFINITY))).toThrow(
      /values\[1\].*Infinity/,
    );
    expect(() => ValueTable.from([0, 1, 2, 3], { players: ['a'] })).toThrow(/2 names/);
    expect(() => ValueTable.from([0, 1, 2, 3], { players: ['a', 'a'] })).toThrow(/used once/);
    expect(() => ValueTable.from('0123' as unknown as number[])).toThrow(/Float64Array/);
  });

  it('shares typed arrays and ndarrays, and shows itself as an ndarray', () => {
    const values = numbers(8, 1);
    expect(ValueTable.from(values).values).toBe(values);
    const view = ndarray(values, [2, 2], [2, 1], 4);
    const table = ValueTable.from(view);
    expect(Array.from(table.values)).toEqual(Array.from(values.subarray(4)));
    expect(table.toNdarray().get(1, 0)).toBe(table.value([1]));
    expect(() => ValueTable.from(ndarray(values, [2, 2], [1, 2]))).toThrow(/row-major/);
  });

  it('reads and writes the game files of shapiq', () => {
    const table = ValueTable.from([1, 4, 3, 9, 2, 8, 7, 15], { players: ['a', 'b', 'c'] });
    const json = JSON.parse(JSON.stringify(table));
    expect(json).toEqual({
      metadata: {
        n_players: 3,
        game_name: 'ValueTable',
        normalization_value: 1,
        precompute_flag: true,
        precomputed: true,
        player_names: ['a', 'b', 'c'],
      },
      data: { Empty: 1, '0': 4, '1': 3, '0,1': 9, '2': 2, '0,2': 8, '1,2': 7, '0,1,2': 15 },
    });
    const back = ValueTable.fromJSON(json);
    expect(Array.from(back.values)).toEqual(Array.from(table.values));
    expect(back.value(['a', 'c'])).toBe(8);
    const { '0,2': _, ...holes } = json.data;
    expect(() => ValueTable.fromJSON({ ...json, data: holes })).toThrow(/bit mask 5/);
    expect(() => ValueTable.fromJSON({ metadata: {}, data: {} })).toThrow(/a game/);
    expect(() => ValueTable.fromJSON({ ...json, data: { ...json.data, '1,0': 1 } })).toThrow(/ascending/);
  });

  it('asks a value function in batches', async () => {
    const sizes: number[] = [];
    const value: ValueFunction = async (batch) => {
      sizes.push(batch.length);
      const masks = batch.toMasks();
      return Float64Array.from({ length: batch.length }, (_, i) => masks[3 * i] + 2 * masks[3 * i + 2]);
    };
    const table = await ValueTable.evaluate(3, value, { batchSize: 3 });
    expect(sizes).toEqual([3, 3, 2]);
    expect(Array.from(table.values)).toEqual([0, 1, 0, 1, 2, 3, 2, 3]);
  });

  it('refuses value functions that throw, answer wrongly or never', async () => {
    const boom = new Error('boom');
    const throwing = () => {
      throw boom;
    };
    await expect(ValueTable.evaluate(3, throwing)).rejects.toBe(boom);
    await expect(ValueTable.evaluate(3, () => [1, 2])).rejects.toThrow(/8 values.*received 2/);
    await expect(ValueTable.evaluate(1, () => [1, Number.NaN])).rejects.toThrow(/value 1.*NaN/);
    await expect(ValueTable.evaluate(1, () => null as unknown as number[])).rejects.toThrow(/2 values/);
    const controller = new AbortController();
    const reason = new Error('no more');
    const never = ValueTable.evaluate(3, () => new Promise(() => {}), { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 5);
    await expect(never).rejects.toBe(reason);
    await expect(ValueTable.evaluate(3, () => [], { batchsize: 2 } as object)).rejects.toThrow(
      /Unknown option/,
    );
  });
});

describe('Interactions', () => {
  const table = ValueTable.from([0, 1, 2, 8, 1, 2, 3, -5], { players: ['x', 'y', 'z'] });
  const result = interactionsSync(table, { index: 'Moebius', order: 3 });

  it('looks up by names or indices in any order', () => {
    expect(result.get('x', 'y')).toBe(5);
    expect(result.get('y', 0)).toBe(5);
    expect(result.has('z')).toBe(true);
    expect(result.standardError('z')).toBeUndefined();
    expect(() => result.standardError('w')).toThrow(/a known name/);
    expect(result.at(1)).not.toHaveProperty('standardError');
    expect(() => result.get('x', 'x')).toThrow(/twice/);
    expect(() => result.get('w')).toThrow(/a known name.*"w"/);
    expect(() => interactionsSync(table, { order: 2 }).get(0, 1, 2)).toThrow(/orders 0\.\.2/);
  });

  it('ranks, sums and shapes', () => {
    expect(result.top(2).map(({ names, value }) => [names?.join('+'), value])).toEqual([
      ['x+y+z', -14],
      ['x+y', 5],
    ]);
    expect(result.top(1, { by: 'largest', order: 1 })[0].names).toEqual(['y']);
    expect(result.sum()).toBe(-5);
    expect(result.sum(2)).toBe(5);
    expect(result.pairs().get(1, 0)).toBe(5);
    expect(result.singles().shape).toEqual([3]);
    expect(() => interactionsSync(table, { minOrder: 2 }).singles()).toThrow(/single players/);
  });

  it('survives JSON, its own and that of shapiq', () => {
    const back = Interactions.fromJSON(JSON.parse(JSON.stringify(result)));
    expect(Array.from(back.values)).toEqual(Array.from(result.values));
    expect(back.get('x', 'y')).toBe(5);
    expect(back.estimated).toBe(false);
    // The names and types that the peer reads; the rest of the metadata is ours.
    expect(JSON.parse(JSON.stringify(result))).toMatchObject({
      metadata: {
        n_players: 3,
        index: 'Moebius',
        max_order: 3,
        min_order: 0,
        estimated: false,
        estimation_budget: null,
        baseline_value: 0,
      },
      data: { Empty: 0, '0': 1, '1': 2, '0,1': 5, '0,1,2': -14 },
    });
    const peer = Interactions.fromJSON({
      metadata: {
        n_players: 3,
        index: 'SII',
        max_order: 2,
        min_order: 0,
        estimated: true,
        estimation_budget: 64,
        baseline_value: 0.5,
      },
      data: { Empty: 0.5, '0,2': 3 },
    });
    expect([peer.get(0, 2), peer.get(0, 1), peer.provenance?.budget]).toEqual([3, 0, 64]);
    expect(() => Interactions.fromJSON({})).toThrow(/metadata/);
    expect(() => Interactions.fromJSON(null)).toThrow(/metadata/);
  });
});

describe('transforms', () => {
  it('copy unless told to work in place', async () => {
    const values = Float64Array.of(1, 2, 4, 8);
    expect(Array.from(transformSync(values, 'moebius'))).toEqual([1, 1, 3, 3]);
    expect(Array.from(values)).toEqual([1, 2, 4, 8]);
    expect(await transform(values, 'coMoebius', { inPlace: true })).toBe(values);
    expect(Array.from(values)).toEqual([8, 4, 6, 3]);
    expect(Array.from(transformSync(Float32Array.of(1, 2), 'walshHadamard'))).toEqual([3, -1]);
  });

  it('refuse misuse', () => {
    expect(() => transformSync(new Float64Array(3), 'moebius')).toThrow(/2\^players/);
    expect(() => transformSync(new Float64Array(4), 'fourier' as 'zeta')).toThrow(/one of moebius/);
    expect(() => transformSync(new Float64Array(4), 'banzhaf', { p: 2 })).toThrow(/from 0 to 1 for p/);
    expect(() => transformSync([1, 2] as unknown as Float64Array, 'zeta')).toThrow(/Float64Array/);
  });

  it('run on every kernel set of this machine', () => {
    const { available, active } = kernelFacts();
    expect(available).toContain(active);
    expect(available.at(-1)).toBe('portable');
    const values = numbers(2 ** 10, 3);
    const expected = transformSync(values, 'moebius', { kernels: 'portable' });
    for (const kernels of available) expect(transformSync(values, 'moebius', { kernels })).toEqual(expected);
  });
});
