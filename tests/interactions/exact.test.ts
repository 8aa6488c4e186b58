import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type IndexName,
  InteractionSet,
  indexNames,
  interactions,
  interactionsSync,
  UnanimitySum,
  ValueTable,
} from '../../lib/interactions/index.js';
import { expectClose, numbers } from './support.js';

interface Golden {
  readonly games: readonly {
    readonly players: number;
    readonly values: readonly number[];
    readonly indices: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  }[];
}

const golden = JSON.parse(
  readFileSync(new URL('../golden/interactions.json', import.meta.url), 'utf8'),
) as Golden;

// Values up to 12 summed with weights up to 4 n in absolute value: 1e-12 is some 100 roundings.
const TOLERANCE = 1e-12;

describe('golden values from exact fractions', () => {
  for (const game of golden.games) {
    const table = ValueTable.from(game.values);
    for (const [name, orders] of Object.entries(game.indices)) {
      it(`${name} of ${game.players} players`, () => {
        for (const [order, expected] of Object.entries(orders)) {
          const result = interactionsSync(table, { index: name as IndexName, order: Number(order), p: 0.25 });
          expectClose(result.values, expected, TOLERANCE, TOLERANCE, `${name} order ${order}`);
        }
      });
    }
  }
});

const shared = new URL('../../../shared/data/indices-conformance.json', import.meta.url);

describe.skipIf(!existsSync(shared))('shared conformance file (skipped where it is not present)', () => {
  const file = existsSync(shared) ? JSON.parse(readFileSync(shared, 'utf8')) : { games: [] };
  for (const game of file.games) {
    it(`every value of ${game.name}`, () => {
      const table = ValueTable.from(game.v);
      let checked = 0;
      for (const [name, orders] of Object.entries(
        game.indices as Record<string, Record<string, Record<string, { d: number }>>>,
      )) {
        for (const [order, values] of Object.entries(orders)) {
          const result = interactionsSync(table, { index: name as IndexName, order: Number(order) });
          for (const [key, { d }] of Object.entries(values)) {
            const players = key === '' ? [] : key.split(',').map(Number);
            const value = result.get(...players);
            expect(
              Math.abs(value - d),
              `${name} order ${order} at {${key}}: ${value} for ${d}`,
            ).toBeLessThanOrEqual(TOLERANCE * Math.max(1, Math.abs(d)));
            checked++;
          }
        }
      }
      expect(checked).toBeGreaterThan(200);
    });
  }
});

describe('interactionsSync', () => {
  it('agrees with the oracle of unanimity games at every order', () => {
    const game = UnanimitySum.random(9, 30, 5, 3);
    const table = game.toTable();
    const set = new InteractionSet(9, 1, 4);
    for (const [index, oracle] of [
      ['SII', (s: number[]) => game.shapleyInteraction(s)],
      ['BII', (s: number[]) => game.banzhafInteraction(s)],
      ['Moebius', (s: number[]) => game.dividend(s)],
    ] as const) {
      const result = interactionsSync(table, { index, order: 4, minOrder: 1 });
      const expected = Array.from({ length: set.length }, (_, i) => oracle(Array.from(set.at(i))));
      expectClose(result.values, expected, 1e-12, 0, index);
    }
  });

  it('gives the same values through pairs and through dividends', () => {
    // Order 2 takes the one-read kernel, the singles and pairs of order 3 of a nested index the dividends.
    for (const n of [3, 10, 11, 13]) {
      const table = ValueTable.from(numbers(2 ** n, n));
      for (const index of ['SII', 'BII', 'CHII', 'WBII'] as const) {
        const two = interactionsSync(table, { index, order: 2, minOrder: 1, p: 0.3 });
        const three = interactionsSync(table, { index, order: 3, minOrder: 1, p: 0.3 });
        // Dividends of random values grow like 2^(n/2), so their route loses about as many digits.
        expectClose(two.values, three.values.subarray(0, two.values.length), 1e-10, 0, `${index}, n = ${n}`);
      }
    }
  });

  it('restricts to cross-modal interactions', () => {
    const table = ValueTable.from(numbers(2 ** 5, 1), { players: ['sky', 'cat', 'what', 'is', 'it'] });
    const all = interactionsSync(table, { index: 'STII', order: 3 });
    const cross = interactionsSync(table, {
      index: 'STII',
      order: 3,
      pairs: { image: ['sky', 'cat'], text: ['what', 'it'] },
    });
    expect(Array.from(cross, (entry) => entry.names?.join('+'))).toEqual([
      'sky+what',
      'sky+it',
      'cat+what',
      'cat+it',
      'sky+cat+what',
      'sky+cat+it',
      'sky+what+it',
      'cat+what+it',
    ]);
    for (const entry of cross) expect(entry.value).toBe(all.get(...entry.players));
    expect(() => cross.get('sky', 'cat')).toThrow(/not computed.*across modalities/);
    expect(cross.block(['cat'], ['it', 'what']).get(0, 1)).toBe(all.get('what', 'cat'));
  });

  it('stores for the empty set what its documentation says', () => {
    const table = ValueTable.from([1, 4, 3, 9, 2, 8, 7, 15]);
    const empty = (index: IndexName, order: number, emptySet: 'definition' | 'shapiq' = 'definition') =>
      interactionsSync(table, { index, order, emptySet }).get();
    expect(empty('SII', 2)).toBeCloseTo(27 / 4, 14);
    expect(empty('SII', 2, 'shapiq')).toBeCloseTo(27 / 4, 14);
    expect(empty('SII', 1, 'shapiq')).toBe(1);
    expect(empty('Co-Moebius', 3)).toBe(15);
    expect(empty('Co-Moebius', 3, 'shapiq')).toBe(1);
    expect(empty('BII', 2)).toBeCloseTo(49 / 8, 14);
    expect(empty('FBII', 2)).toBeCloseTo(7 / 8, 14);
    for (const index of [
      'SV',
      'k-SII',
      'STII',
      'FSII',
      'kADD-SHAP',
      'JointSV',
      'CHII',
      'SGV',
      'Moebius',
    ] as const) {
      expect(interactionsSync(table, { index, order: index === 'SV' ? 1 : 2 }).get()).toBe(1);
    }
  });

  it('gives the same bytes on any number of threads, and every kernel set the same values', async () => {
    const table = ValueTable.from(numbers(2 ** 19, 5));
    for (const order of [2, 3]) {
      const one = interactionsSync(table, { order, threads: 1 });
      expect(interactionsSync(table, { order, threads: 3 }).values).toEqual(one.values);
      expect((await interactions(table, { order, threads: 2 })).values).toEqual(one.values);
      const portable = interactionsSync(table, { order, kernels: 'portable' });
      expectClose(portable.values, one.values, order === 2 ? 1e-12 : 1e-8, 0, `order ${order}`);
    }
  });

  it('takes float32 tables', () => {
    const narrow = Float32Array.from(numbers(2 ** 12, 2));
    const wide = Float64Array.from(narrow);
    for (const order of [2, 3]) {
      const a = interactionsSync(ValueTable.from(narrow), { order });
      const b = interactionsSync(ValueTable.from(wide), { order });
      expectClose(a.values, b.values, 1e-12);
    }
  });

  it('refuses misuse before any work', () => {
    const table = ValueTable.from([0, 1, 1, 3]);
    expect(() => interactionsSync(table, { order: 3 })).toThrow(/order/);
    expect(() => interactionsSync(table, { order: 0 })).toThrow(/order/);
    expect(() => interactionsSync(table, { minOrder: 3 })).toThrow(/minOrder/);
    expect(() => interactionsSync(table, { index: 'sii' as IndexName })).toThrow(/one of SV, BV/);
    expect(() => interactionsSync(table, { index: 'SV', order: 3 })).toThrow(/order/);
    expect(() => interactionsSync(table, { p: 1.5 })).toThrow(/from 0 to 1 for p/);
    expect(() => interactionsSync(table, { kernels: 'mmx' })).toThrow(/cannot run on this machine/);
    expect(() => interactionsSync(table, { threads: -1 })).toThrow(/threads/);
    expect(() => interactionsSync(table, { sumOrder: 1 } as object)).toThrow(/Unknown option "sumOrder"/);
    expect(() => interactionsSync(table, { pairs: { image: [0], text: [0] } })).toThrow(
      /both pairs.image and pairs.text/,
    );
    expect(() => interactionsSync(table, { pairs: { image: [], text: [0] } })).toThrow(/pairs.image/);
    expect(() => interactionsSync(table, { pairs: { image: [0], text: [7] } })).toThrow(/from 0 to 1 for p/);
    expect(() => interactionsSync(table, { order: 1, pairs: { image: [0], text: [1] } })).toThrow();
  });

  it('lists every index name once', () => {
    expect(new Set(indexNames).size).toBe(indexNames.length);
  });
});

describe('interactions', () => {
  it('rejects with the reason of the signal and reports progress', async () => {
    const table = ValueTable.from(numbers(2 ** 20, 4));
    const controller = new AbortController();
    const running = interactions(table, { index: 'FSII', order: 4, signal: controller.signal, threads: 1 });
    const reason = new Error('enough');
    setTimeout(() => controller.abort(reason), 5);
    await expect(running).rejects.toBe(reason);
    await expect(interactions(table, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const seen: number[] = [];
    await interactions(table, { index: 'FSII', order: 3, onProgress: (share) => seen.push(share) });
    expect(seen.length).toBeGreaterThan(0);
    for (const share of seen) expect(share).toBeLessThanOrEqual(1);
  });

  it('leaves the event loop free', async () => {
    const table = ValueTable.from(numbers(2 ** 21, 4));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await interactions(table, { index: 'SII', order: 4, threads: 1 });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(2);
  });
});
