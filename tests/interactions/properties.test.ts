import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IndexName, interactionsSync, transformSync, ValueTable } from '../../lib/interactions/index.js';
import { expectClose } from './support.js';

const INDICES: readonly IndexName[] = [
  'SII',
  'BII',
  'WBII',
  'CHII',
  'k-SII',
  'STII',
  'FSII',
  'FBII',
  'kADD-SHAP',
  'Moebius',
  'Co-Moebius',
  'SGV',
  'BGV',
  'CHGV',
  'IGV',
  'EGV',
  'JointSV',
];
const EFFICIENT: readonly IndexName[] = ['k-SII', 'STII', 'FSII', 'JointSV'];

const values = (n: number) =>
  fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 2 ** n, maxLength: 2 ** n });

/** A game of 2..6 players, an order and an index. */
const problem = fc.integer({ min: 2, max: 6 }).chain((n) =>
  fc.record({
    n: fc.constant(n),
    values: values(n),
    order: fc.integer({ min: 1, max: n }),
    index: fc.constantFrom(...INDICES),
  }),
);

// Integers up to 1000, at most 64 of them with weights of at most 2^6 in sum: 1e-9 leaves 1e3 roundings.
const TOLERANCE = 1e-9;

describe('properties on random games', () => {
  it('every index is linear', () => {
    fc.assert(
      fc.property(
        problem,
        fc.infiniteStream(fc.integer({ min: -1000, max: 1000 })),
        ({ values: a, order, index }, more) => {
          const b = a.map(() => more.next().value as number);
          const of = (v: number[]) => interactionsSync(ValueTable.from(v), { index, order }).values;
          const left = of(a.map((x, i) => 2 * x - 3 * b[i]));
          const [ia, ib] = [of(a), of(b)];
          expectClose(
            left,
            ia.map((x, i) => 2 * x - 3 * ib[i]),
            TOLERANCE,
            0,
            `${index} ${order}`,
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  it('a dummy player interacts with nobody', () => {
    fc.assert(
      fc.property(problem, ({ n, values: v, order, index }) => {
        // Player 0 adds 5 to every coalition: a dummy with a value of its own. Block values and co-dividends
        // of blocks with a dummy are not 0 by definition.
        if (['SGV', 'BGV', 'CHGV', 'IGV', 'EGV', 'JointSV'].includes(index)) return;
        const table = ValueTable.from(v.map((_, mask) => v[mask & ~1] + 5 * (mask & 1)));
        const result = interactionsSync(table, { index, order, minOrder: 1 });
        for (const { players, value } of result) {
          if (players[0] !== 0) continue;
          const expected = players.length === 1 ? 5 : 0;
          expect(Math.abs(value - expected), `${index} order ${order} of ${n} at {${players}}`).toBeLessThan(
            TOLERANCE,
          );
        }
      }),
      { numRuns: 150 },
    );
  });

  it('renaming the players renames the values', () => {
    fc.assert(
      fc.property(problem, fc.integer({ min: 0, max: 1e6 }), ({ n, values: v, order, index }, turn) => {
        const move = (player: number) => (player + (turn % n)) % n;
        const moveMask = (mask: number) => {
          let moved = 0;
          for (let player = 0; player < n; player++) if ((mask >> player) & 1) moved |= 1 << move(player);
          return moved;
        };
        const renamed = new Array<number>(v.length);
        for (const [mask, x] of v.entries()) renamed[moveMask(mask)] = x;
        const before = interactionsSync(ValueTable.from(v), { index, order });
        const after = interactionsSync(ValueTable.from(renamed), { index, order });
        for (const { players, value } of before) {
          expect(Math.abs(after.get(...players.map(move)) - value), `${index} at {${players}}`).toBeLessThan(
            TOLERANCE,
          );
        }
      }),
      { numRuns: 150 },
    );
  });

  it('efficient indices add up to v(N)', () => {
    fc.assert(
      fc.property(problem, fc.constantFrom(...EFFICIENT), ({ values: v, order }, index) => {
        const sum = interactionsSync(ValueTable.from(v), { index, order }).sum();
        expect(Math.abs(sum - v[v.length - 1])).toBeLessThan(TOLERANCE);
      }),
      { numRuns: 150 },
    );
  });

  it('SII and BII are recursive: I(ij) = I(i in the game with j) - I(i in the game without j)', () => {
    fc.assert(
      fc.property(problem, fc.constantFrom('SII' as const, 'BII' as const), ({ n, values: v }, index) => {
        if (n < 3) return;
        // Player n - 1 is the top bit, so the halves of the table are the two restricted games.
        const without = interactionsSync(ValueTable.from(v.slice(0, v.length / 2)), { index, order: 1 });
        const withPlayer = interactionsSync(ValueTable.from(v.slice(v.length / 2)), { index, order: 1 });
        const pairs = interactionsSync(ValueTable.from(v), { index, order: 2 });
        for (let i = 0; i < n - 1; i++) {
          expect(Math.abs(pairs.get(i, n - 1) - (withPlayer.get(i) - without.get(i)))).toBeLessThan(
            TOLERANCE,
          );
        }
      }),
      { numRuns: 100 },
    );
  });

  it('k-SII and STII of order n are the dividends, order 1 of both is the Shapley value', () => {
    fc.assert(
      fc.property(problem, ({ n, values: v }) => {
        const table = ValueTable.from(v);
        const dividends = transformSync(table.values, 'moebius');
        for (const index of ['k-SII', 'STII', 'FSII'] as const) {
          for (const { players, value } of interactionsSync(table, { index, order: n })) {
            const mask = players.reduce((sum, player) => sum + 2 ** player, 0);
            expect(Math.abs(value - dividends[mask]), `${index} at {${players}}`).toBeLessThan(TOLERANCE);
          }
          const first = interactionsSync(table, { index, order: 1 }).values;
          expectClose(first, interactionsSync(table, { index: 'SV' }).values, TOLERANCE, 0, index);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('transforms and their inverses return the table', () => {
    fc.assert(
      fc.property(problem, fc.double({ min: 0, max: 1, noNaN: true }), ({ values: v }, p) => {
        const table = Float64Array.from(v);
        for (const [there, back] of [
          ['moebius', 'zeta'],
          ['coMoebius', 'inverseCoMoebius'],
          ['supersetSum', 'supersetDifference'],
          ['walshHadamard', 'inverseWalshHadamard'],
          ['banzhaf', 'inverseBanzhaf'],
        ] as const) {
          expectClose(
            transformSync(transformSync(table, there, { p }), back, { p }),
            table,
            TOLERANCE,
            0,
            there,
          );
        }
      }),
      { numRuns: 100 },
    );
  });
});
