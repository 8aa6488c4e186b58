import ndarray from 'ndarray';
import { describe, expect, it } from 'vitest';
import {
  type CoalitionBatch,
  estimate,
  estimatePair,
  Interactions,
  interactionsSync,
  leastCoreSync,
  UnanimitySum,
  type ValueFunction,
  ValueTable,
} from '../../lib/interactions/index.js';

// What JavaScript lets through and types do not: every case must be refused with a code, or be right.

const zero = (batch: CoalitionBatch) => new Float64Array(batch.length);
const table = ValueTable.from([0, 1, 2, 5, 1, 2, 3, 9], { players: ['a', 'b', 'c'] });
const refused = { code: 'INVALID_ARGUMENT' };

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    return (error as { code?: string }).code;
  }
  return 'accepted';
}

describe('tables', () => {
  it.each<[string, unknown]>([
    ['null', null],
    ['integers', new Int32Array(4)],
    ['null in an array', [0, null]],
    ['a string in an array', [0, '1']],
    ['holes', new Array(4)],
    ['an ndarray of numbers', ndarray([0, 1, 2, 3], [2, 2])],
    ['a reversed ndarray', ndarray(new Float64Array(8), [8]).step(-1)],
  ])('refuse %s', (_, values) => {
    expect(codeOf(() => ValueTable.from(values as number[]))).toBe('INVALID_ARGUMENT');
  });

  it('refuse unknown options and what is not a game', () => {
    expect(codeOf(() => ValueTable.from([0, 1], { player: ['a'] } as object))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => ValueTable.from([0, 1], null as unknown as object))).toBe('INVALID_ARGUMENT');
    for (const game of [null, [0, 1, 2, 3], {}]) {
      expect(codeOf(() => interactionsSync(game as unknown as ValueTable))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => leastCoreSync(game as unknown as ValueTable))).toBe('INVALID_ARGUMENT');
    }
    expect(codeOf(() => new UnanimitySum(3, [{ players: [1], weight: Number.NaN }]))).toBe(refused.code);
    expect(codeOf(() => new UnanimitySum(3, null as unknown as []))).toBe(refused.code);
    expect(codeOf(() => new UnanimitySum(40, []).toTable())).toBe(refused.code);
  });

  it('refuse values whose sums overflow', async () => {
    const large = Float64Array.from({ length: 256 }, (_, i) => ((i % 3) - 1) * 1.7e308);
    expect(codeOf(() => interactionsSync(ValueTable.from(large)))).toBe(refused.code);
  });

  it.each<[string, object]>([
    ['null', { Empty: null, '0': 2 }],
    ['strings', { Empty: '0', '0': 2 }],
    ['arrays', { Empty: 0, '0': [2] }],
    ['a coalition twice', { Empty: 0, '': 1, '0': 2 }],
  ])('refuse game files with %s', (_, data) => {
    expect(codeOf(() => ValueTable.fromJSON({ metadata: { n_players: 1 }, data }))).toBe(refused.code);
  });
});

describe('value functions', () => {
  it.each<[string, (batch: CoalitionBatch) => unknown]>([
    ['null', (batch) => Array(batch.length).fill(null)],
    ['numeric strings', (batch) => Array(batch.length).fill('1')],
    ['bigints', (batch) => new BigInt64Array(batch.length)],
    ['one number', () => 0],
    ['a matrix', (batch) => ndarray(new Float64Array(batch.length), [batch.length / 2, 2])],
    ['too few in an ndarray', () => ndarray(new Float64Array(3), [3])],
  ])('that return %s are refused', async (_, value) => {
    await expect(estimate(5, value as ValueFunction, { budget: 32 })).rejects.toMatchObject(refused);
    await expect(ValueTable.evaluate(3, value as ValueFunction)).rejects.toMatchObject(refused);
  });

  it('may return ndarrays, strided ones too, and thenables', async () => {
    const strided = (batch: CoalitionBatch) => {
      const data = new Float64Array(2 * batch.length);
      for (let i = 0; i < batch.length; i++) data[2 * i] = batch.mask(i) ** 2;
      return ndarray(data, [batch.length], [2]);
    };
    const game = await ValueTable.evaluate(3, strided);
    expect(Array.from(game.values)).toEqual([0, 1, 4, 9, 16, 25, 36, 49]);
    const thenable = (batch: CoalitionBatch) =>
      // biome-ignore lint/suspicious/noThenProperty: a promise of another library
      ({ then: (resolve: (values: unknown) => void) => resolve(strided(batch)) }) as unknown as Float64Array;
    expect(Array.from((await ValueTable.evaluate(3, thenable)).values)).toEqual(Array.from(game.values));
  });

  it('are refused before they are called when the rest is wrong', async () => {
    const pairs = { image: [0, 1], text: [2, 3] };
    let calls = 0;
    const value = (batch: CoalitionBatch) => {
      calls++;
      return zero(batch);
    };
    for (const options of [
      { batchSize: 0 },
      { signal: {} as AbortSignal },
      { onProgress: 1 as unknown as () => void },
    ]) {
      await expect(ValueTable.evaluate(2, value, options)).rejects.toMatchObject(refused);
      await expect(estimate(5, value, options)).rejects.toMatchObject(refused);
      await expect(estimatePair(4, value, [0], [2], { pairs, ...options })).rejects.toMatchObject(refused);
    }
    for (const options of [{ budget: Number.NaN }, { seed: 1.5 }, { seed: -1 }])
      await expect(estimatePair(4, value, [0], [2], { pairs, ...options })).rejects.toMatchObject(refused);
    expect(calls).toBe(0);
    const none = undefined as unknown as ValueFunction;
    await expect(ValueTable.evaluate(2, none)).rejects.toMatchObject(refused);
    await expect(estimatePair(4, none, [0], [2], { pairs })).rejects.toMatchObject(refused);
  });

  it('that throw anything have it passed on, and so does progress', async () => {
    for (const thrown of ['no', undefined, 7]) {
      await expect(estimate(5, () => Promise.reject(thrown), { budget: 32 })).rejects.toBe(thrown);
    }
    const boom = new Error('progress');
    const onProgress = () => {
      throw boom;
    };
    await expect(estimate(5, zero, { budget: 32, onProgress })).rejects.toBe(boom);
  });
});

describe('results', () => {
  const all = interactionsSync(table, { order: 2, minOrder: 1 });

  it('refuse orders and options that they do not have', () => {
    expect(codeOf(() => all.top(2, { by: 'big' as 'largest' }))).toBe(refused.code);
    expect(codeOf(() => all.top(2, { orders: 1 } as object))).toBe(refused.code);
    for (const order of [0, 3, 1.5]) {
      expect(codeOf(() => all.top(2, { order }))).toBe(refused.code);
      expect(codeOf(() => all.sum(order))).toBe(refused.code);
    }
    expect(codeOf(() => all.block('a' as unknown as string[], ['b']))).toBe(refused.code);
  });

  it('take typed arrays of players', () => {
    const pairs = { image: Int32Array.of(1, 0), text: Uint8Array.of(2) };
    const cross = interactionsSync(table, { pairs });
    expect(cross.set.length).toBe(2);
    expect(cross.block(pairs.image, pairs.text).get(0, 0)).toBe(all.get('b', 'c'));
    expect(table.value(Uint8Array.of(2, 0))).toBe(table.value(['a', 'c']));
  });

  it('come back from JSON with their restriction and errors', async () => {
    const pairs = { image: ['a'], text: ['b', 'c'] };
    const cross = interactionsSync(table, { pairs });
    const back = Interactions.fromJSON(JSON.parse(JSON.stringify(cross)));
    expect(Array.from(back, ({ names }) => names?.join('+'))).toEqual(['a+b', 'a+c']);
    // {b, c} was not computed: reading the file must not make it 0.
    expect(back.has('b', 'c')).toBe(false);
    const game = UnanimitySum.random(8, 20, 3, 1);
    const options = { estimator: 'permutation', budget: 40, seed: 1 } as const;
    const estimated = await estimate(8, game.value, options);
    expect(estimated.standardErrors).toContain(Number.POSITIVE_INFINITY);
    const copy = Interactions.fromJSON(JSON.parse(JSON.stringify(estimated)));
    expect(copy.standardErrors).toEqual(estimated.standardErrors);
    expect(copy.values).toEqual(estimated.values);
    expect(copy.provenance).toEqual(estimated.provenance);
    const json = JSON.parse(JSON.stringify(estimated));
    json.metadata.standard_errors.pop();
    expect(codeOf(() => Interactions.fromJSON(json))).toBe(refused.code);
  });
});

describe('two players', () => {
  it.each(['auto', 'regression', 'shap-iq', 'svarm-iq', 'kernel-shap-iq'] as const)(
    '%s',
    async (estimator) => {
      const game = ValueTable.from([1, 2, 4, 9]);
      const found = await estimate(2, game.toValueFunction(), { estimator, budget: 4 });
      for (const [i, expected] of [3, 5, 4].entries())
        expect(Math.abs(found.values[i] - expected)).toBeLessThan(1e-6);
    },
  );
});
