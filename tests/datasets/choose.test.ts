import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseGrounded, chooseSpread, orderByHash } from '../../lib/datasets/choose.js';
import { openDatasets } from '../../lib/datasets/open.js';
import type { Grounding } from '../../lib/datasets/types.js';

/** 36 grounded, 12 text-prior, 12 image-prior samples in the order of the embedded mixture. */
const mixture = (['grounded', 'text-prior', 'image-prior'] as const).flatMap((grounding, kind) =>
  Array.from({ length: kind === 0 ? 36 : 12 }, (_, i) => ({ id: `${grounding}-${i}`, grounding })),
);
const kindsOf = (chosen: readonly { grounding?: Grounding }[]) =>
  ['grounded', 'text-prior', 'image-prior'].map(
    (kind) => chosen.filter(({ grounding }) => grounding === kind).length,
  );

describe('a choice of samples', () => {
  it('holds every kind, in proportion', () => {
    const chosen = (limit: number) => kindsOf(chooseSpread(mixture, { limit, seed: 3 }));
    expect([3, 4, 5, 10, 60].map(chosen)).toEqual([
      [1, 1, 1],
      [2, 1, 1],
      [3, 1, 1],
      [6, 2, 2],
      [36, 12, 12],
    ]);
  });

  it('takes grounded samples first where the exact index is measured, those of one modality last', () => {
    const chosen = (limit: number) => kindsOf(chooseGrounded(mixture, { limit, seed: 3 }));
    expect([1, 5, 36, 38, 60].map(chosen)).toEqual([
      [1, 0, 0],
      [5, 0, 0],
      [36, 0, 0],
      [36, 1, 1],
      [36, 12, 12],
    ]);
    const unknown = { id: 'unknown' };
    expect(chooseGrounded([...mixture, unknown], { limit: 37, seed: 0 }).at(-1)).toBe(unknown);
  });

  it('follows ids, groundings and seed, never the place, and grows with the limit', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(
          fc.record({
            id: fc.string(),
            grounding: fc.constantFrom<Grounding | undefined>(
              'grounded',
              'text-prior',
              'image-prior',
              undefined,
            ),
          }),
          { selector: ({ id }) => id, minLength: 1, maxLength: 40 },
        ),
        fc.nat(),
        fc.nat({ max: 40 }),
        (entries, seed, limit) => {
          for (const choose of [chooseSpread, chooseGrounded]) {
            const all = choose(entries, { limit: entries.length, seed });
            expect(new Set(all)).toEqual(new Set(entries));
            expect(choose([...entries].reverse(), { limit, seed })).toEqual(all.slice(0, limit));
          }
        },
      ),
    );
  });

  it('is that of the hash where nothing says what samples need', () => {
    const entries = mixture.map(({ id }) => ({ id }));
    expect(chooseSpread(entries, { limit: 60, seed: 5 })).toEqual(orderByHash(entries, 5));
    expect(chooseGrounded(entries, { limit: 7, seed: 5 })).toEqual(orderByHash(entries, 5).slice(0, 7));
    expect(orderByHash(entries, 6)).not.toEqual(orderByHash(entries, 5));
  });
});

describe('the embedded datasets', () => {
  it.each([
    [1, [1, 0, 0]],
    [2, [2, 0, 0]],
    [3, [1, 1, 1]],
    [4, [2, 1, 1]],
    [6, [4, 1, 1]],
    [40, [24, 8, 8]],
  ])('of %i samples ask prior questions too, from three on', async (size, counts) => {
    for (const dataset of await openDatasets(['presence', 'relation', 'choice'], { size })) {
      const samples = [];
      for await (const sample of dataset.samples()) samples.push(sample);
      expect(kindsOf(samples)).toEqual(counts);
    }
  });
});
