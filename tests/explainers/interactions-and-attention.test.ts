import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { CellTable } from '../../lib/cells/table.js';
import { atman } from '../../lib/explainers/atman.js';
import { blocksOf, fixlip } from '../../lib/explainers/fixlip.js';
import { selectExplainers } from '../../lib/explainers/registry.js';
import { releaseWhiteBoxSessions } from '../../lib/explainers/white-box/model.js';
import { explanationPage } from '../../lib/report/explanation.js';
import { largestPair, wordMaps } from '../../lib/report/word-regions.js';
import { embeddedModels } from '../../lib/runner/models.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample } from '../../lib/vlm/types.js';
import { playGame } from '../metrics/games.js';
import { fakeModel } from '../runner/fake-model.js';
import { contextOf } from './helpers.js';

afterAll(() => releaseWhiteBoxSessions());

/** Log-probability of a game of 4 image players and 3 words with effects of all orders. */
function tangled(image: ArrayLike<number>, text: ArrayLike<number>): number {
  const [a, b, c, d] = Array.from(image, Number);
  const [x, y, z] = Array.from(text, Number);
  return -3 + a * x + 0.7 * b * y * z - 0.9 * c * d * x + 0.4 * a + 0.3 * y + 0.2 * d * z;
}

const small = {
  imagePlayers: { count: 4, rows: 2, columns: 2, tiles: 1 },
  textPlayers: { count: 3 },
  evaluate: async (table: CellTable) => playGame(table, (i, t) => tangled(i, t)),
} as unknown as PreparedSample;

/**
 * The weighted Banzhaf interaction of a cell and a word by its definition, over all coalitions of the others.
 */
function banzhaf(region: number, word: number, p: number): number {
  let sum = 0;
  for (let rest = 0; rest < 128; rest++) {
    const present = Array.from({ length: 7 }, (_, player) => (rest >> player) & 1);
    const [i, j] = [region, 4 + word];
    if (present[i] || present[j]) continue;
    const size = present.reduce((total, is) => total + is, 0);
    const value = (...more: number[]) => {
      const all = present.map((is, player) => (is || more.includes(player) ? 1 : 0));
      return Math.exp(tangled(all.slice(0, 4), all.slice(4)));
    };
    sum += p ** size * (1 - p) ** (5 - size) * (value(i, j) - value(i) - value(j) + value());
  }
  return sum;
}

describe('FIxLIP', () => {
  test.each([0.5, 0.3])(
    'finds the weighted Banzhaf interactions of every cell and word (p %d)',
    async (p) => {
      const { wordRegions, diagnostics } = await fixlip({ budget: 60_000, p }).attribute(contextOf(small));
      const { values, standardErrors } = wordRegions!;
      let off = 0;
      for (let region = 0; region < 4; region++) {
        for (let word = 0; word < 3; word++) {
          const at = 3 * region + word;
          const error = Math.abs(values[at] - banzhaf(region, word, p));
          // 12 estimates, none of them four standard errors off; the value is of the order .1.
          expect(error).toBeLessThan(4 * standardErrors[at] + 1e-9);
          off += error / 12;
        }
      }
      expect(off).toBeLessThan(0.01);
      expect(diagnostics).toMatchObject({ regions: 4 });
    },
  );

  test('is exact where nothing but pairs acts, and adds pairs up', async () => {
    const sample = await fakeModel().prepare({} as never, 'a b c');
    const { image, text, wordRegions } = await fixlip({ budget: 400 }).attribute(contextOf(sample));
    const gain = Math.exp(-1) - Math.exp(-3);
    expect(wordRegions!.values[3 * 5 + 1]).toBeCloseTo(gain, 10);
    for (const [i, value] of wordRegions!.values.entries()) if (i !== 16) expect(value).toBeCloseTo(0, 10);
    expect(image[5]).toBeCloseTo(gain, 10);
    expect(text[1]).toBeCloseTo(gain, 10);
    const absolute = await fixlip({ budget: 900, reduction: 'absolute' }).attribute(contextOf(small));
    const signed = await fixlip({ budget: 900 }).attribute(contextOf(small));
    expect(Array.from(absolute.image)).toEqual(
      [0, 1, 2, 3].map((region) =>
        [0, 1, 2].reduce((sum, word) => sum + Math.abs(signed.wordRegions!.values[3 * region + word]), 0),
      ),
    );
  });

  test('joins neighbouring cells of each tile, and refuses a budget that determines too little', async () => {
    const grid = (rows: number, columns: number, tiles = 1) => ({
      rows,
      columns,
      tiles,
      count: rows * columns * tiles,
    });
    expect(blocksOf(grid(24, 24), 64).count).toBe(64);
    expect(Array.from(blocksOf(grid(3, 3), 4).regions)).toEqual([0, 0, 1, 0, 0, 1, 2, 2, 3]);
    expect(Array.from(blocksOf(grid(2, 2, 2), 2).regions)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(blocksOf(grid(8, 8), 64)).toMatchObject({ count: 64 });
    await expect(fixlip({ budget: 20 }).attribute(contextOf(small))).rejects.toMatchObject({
      code: 'BUDGET',
    });
    expect(() => fixlip({ p: 1 })).toThrow('p');
    expect(() => fixlip({ reduction: 'both' as never })).toThrow('reduction');
    expect(selectExplainers(['all']).map(({ name }) => name)).not.toContain('fixlip');
  });

  test('draws the regions of every word, and leaves out what may be noise', () => {
    const map = { regions: [0, 0, 1], values: [0.5, 0.1, -0.2, 0.3], standardErrors: [0.1, 0.1, 0.05, null] };
    const maps = wordMaps(map, [' red', 'cat']);
    expect(maps.map(({ label, scores, told }) => [label, Array.from(scores), told])).toEqual([
      ['red', [0.5, 0.5, -0.2], 2],
      ['cat', [0, 0, 0], 0],
    ]);
    expect(largestPair(maps)).toBe(0.5);
  });
});

test('AtMan is what PyTorch finds, and FIxLIP’s page has a picture for every word', async () => {
  const golden = JSON.parse(readFileSync(new URL('../golden/atman.json', import.meta.url), 'utf8'));
  const vlm = await loadVlm(embeddedModels().get('llava-tiny')!);
  try {
    const image = await decodeImage(new URL(`../golden/embedded/${golden.image}`, import.meta.url).pathname);
    const sample = await vlm.prepare(image, golden.question, {
      answer: golden.answer,
      baseline: 'blur',
      blurRadius: 0.25,
    });
    const scores = await atman.attribute(contextOf(sample));
    for (const side of ['image', 'text'] as const) {
      expect(scores[side]).toHaveLength(golden.scores[side].length);
      const largest = Math.max(...golden.scores[side].map(Math.abs));
      // Float32 against float64 in logits of up to 25.
      for (const [i, expected] of golden.scores[side].entries())
        expect(Math.abs(scores[side][i] - expected)).toBeLessThan(2e-4 + 1e-3 * Math.abs(expected));
      expect(largest).toBeGreaterThan(0.1);
    }
    const attribution = await fixlip({ budget: 700 }).attribute(contextOf(sample));
    const page = await explanationPage(sample, [{ title: 'FIxLIP', attribution, synergy: 0 }]);
    expect(page.match(/regions that act with/g)).toHaveLength(sample.textPlayers.count);
    expect(page.match(/ checked>/g)).toHaveLength(1);
  } finally {
    vlm.dispose();
  }
});
