import { inspect } from 'node:util';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  estimate,
  Interactions,
  interactionsSvg,
  interactionsSync,
  UnanimitySum,
  ValueTable,
} from '../../lib/interactions/index.js';

const names = ['cat', 'mat', 'what'];
const table = ValueTable.from([0, 1, 1, 4, 2, 3, 4, 9], { players: names });
// Dividends by hand: cat 1, mat 1, what 2; cat x mat 2, cat x what 0, mat x what 1; all three 2.
const exact = interactionsSync(table, { index: 'Moebius', order: 3 });
const across = interactionsSync(table, { index: 'SII', pairs: { image: ['cat', 'mat'], text: ['what'] } });
const count = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].length;

describe('a result in words', () => {
  it('says what it is and shows the strongest interactions, on the console too', () => {
    const text = `Moebius of 3 players, orders 0 to 3, exact

interaction       value
----------------  -----
what              2.000
cat x mat         2.000
cat x mat x what  2.000
cat               1.000
mat               1.000
mat x what        1.000
cat x what        0.000`;
    expect(String(exact)).toBe(text);
    expect(inspect(exact)).toBe(text);
    expect(exact.table(2, { order: 2 }).split('\n')).toEqual([
      'interaction  value',
      '-----------  -----',
      'cat x mat    2.000',
      'mat x what   1.000',
    ]);
  });

  it('shows standard errors of estimates only, infinite ones too', async () => {
    const game = UnanimitySum.random(20, 30, 2, 5);
    const found = await estimate(20, game.value, { estimator: 'svarm-iq', budget: 43, seed: 1 });
    const [head, , titles, , ...rows] = String(found).split('\n');
    expect(head).toBe('SII of 20 players, orders 1 to 2, estimated by svarm-iq from 43 coalitions');
    expect(titles).toMatch(/interaction +value +standard error/);
    expect(rows).toHaveLength(11);
    expect(rows[10]).toBe('(200 weaker ones)');
    const [strongest] = found.top(1);
    const [players, value, error] = rows[0].trim().split(/ {2,}/);
    expect(players).toBe(strongest.players.join(' x '));
    expect(Number(value)).toBeCloseTo(strongest.value, 3);
    expect(Number(error)).toBeCloseTo(strongest.standardError!, 3);
    const file = JSON.parse(JSON.stringify(found));
    file.metadata.standard_errors[0] = null;
    expect(Interactions.fromJSON(file).at(0).standardError).toBe(Number.POSITIVE_INFINITY);
    expect(String(interactionsSync(table, { index: 'SV' }))).not.toMatch(/error/);
  });

  it('keeps four digits of values of any size', () => {
    const sized = (scale: number) =>
      interactionsSync(ValueTable.from(table.values.map((v) => v * scale)), { index: 'SV', minOrder: 1 });
    expect(sized(1e-9).table(1)).toMatch(/ 3\.167e-9$/);
    expect(sized(1e9).table(1)).toMatch(/ 3\.167e\+9$/);
    expect(sized(0.01).table(1)).toMatch(/ 0\.03167$/);
    expect(sized(1000).table(1)).toMatch(/ 3167$/);
    expect(sized(0).table(1)).toMatch(/ 0$/);
  });
});

describe('a result as a picture', () => {
  it('draws a network: a disc per player, a line per pair, widths by strength, colours by sign', () => {
    const svg = interactionsSvg(exact);
    expect(count(svg, /<circle /g)).toBe(3);
    // cat x what is 0 and has no line.
    expect(count(svg, /<path /g)).toBe(2);
    const lines = [
      ...svg.matchAll(/<path [^>]*class="(\S+) fsyn-line" stroke-width="([\d.]+)"[^>]*><title>([^<]*)/g),
    ];
    expect(lines.map(([, colour, width, title]) => [colour, Number(width), title])).toEqual([
      ['fsyn-more', 4.5, 'mat x what: 1'],
      ['fsyn-more', 8, 'cat x mat: 2'],
    ]);
    expect(svg).toContain('>what<');
    expect(svg).toMatch(/2 of 3 pairs; higher orders are not drawn/);
    expect(interactionsSvg(exact)).toBe(svg);
    const signs = interactionsSync(ValueTable.from([0, 1, 1, -4]), { index: 'Moebius', order: 2 });
    expect(interactionsSvg(signs)).toMatch(/fsyn-less fsyn-line[^>]*><title>0 x 1: -6/);
    expect(count(interactionsSvg(exact, { count: 1 }), /<path /g)).toBe(1);
  });

  it('draws a heat-map: image by text players, or all by all with the singles on the diagonal', () => {
    const cells = (svg: string) => count(svg, /<rect [^>]*><title>/g);
    expect(cells(interactionsSvg(across))).toBe(2);
    expect(cells(interactionsSvg(exact, { kind: 'heatmap' }))).toBe(9);
    const pairsOnly = interactionsSync(table, { index: 'SII', minOrder: 2 });
    const svg = interactionsSvg(pairsOnly, { kind: 'heatmap' });
    expect(cells(svg)).toBe(6);
    expect(count(svg, /class="fsyn-none" fill-opacity="0.5"/g)).toBe(3);
    // cat x mat 3 is the largest in SII: 2 + 2 / 2; mat x what 2, cat x what 1.
    expect(svg).toMatch(/fill-opacity="1.00"><title>cat x mat: 3</);
    expect(svg).toMatch(/fill-opacity="0.33"><title>cat x what: 1</);
    const many = interactionsSync(ValueTable.from(new Float64Array(16)), { order: 2 });
    expect(interactionsSvg(many)).toContain('All pairs are 0.');
  });

  it('marks estimates that may be 0', async () => {
    const game = UnanimitySum.random(10, 12, 2, 3);
    const options = { estimator: 'permutation', budget: 90, seed: 1 } as const;
    const found = await estimate(10, game.value, options);
    const uncertain = [...found].filter(
      ({ players, value, standardError }) => players.length === 2 && Math.abs(value) < 2 * standardError!,
    );
    expect(uncertain.length).toBeGreaterThan(0);
    const drawn = uncertain.filter(({ value }) => value !== 0).length;
    expect(count(interactionsSvg(found, { count: 99 }), /stroke-dasharray/g)).toBe(drawn);
    const singles = [...found].filter(
      ({ players, value, standardError }) => players.length === 1 && Math.abs(value) < 2 * standardError!,
    );
    expect(count(interactionsSvg(found, { kind: 'heatmap' }), /class="fsyn-cross"/g)).toBe(
      2 * uncertain.length + singles.length,
    );
  });

  it('is a document that renders, whatever the names are and however many', async () => {
    const odd = ['<b>&"\'', 'a\u0007b\ud800c', 'マットの上の猫がいますか、それともいませんか、どちらですか'];
    const strange = interactionsSync(ValueTable.from(table.values, { players: odd }), { order: 2 });
    const game = UnanimitySum.random(120, 60, 2, 1);
    const large = await estimate(120, game.value, { estimator: 'shap-iq', budget: 400 });
    const title =
      'A title <that> takes more than one line of the picture, because it is longer than it is wide';
    for (const svg of [
      interactionsSvg(strange),
      interactionsSvg(strange, { kind: 'heatmap', title }),
      interactionsSvg(across, { title }),
      interactionsSvg(large),
      interactionsSvg(large, { kind: 'network' }),
    ]) {
      const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!.map(Number);
      const picture = await sharp(Buffer.from(svg)).raw().toBuffer({ resolveWithObject: true });
      expect([picture.info.width, picture.info.height]).toEqual([width, height]);
      // Something is drawn, and in more than one colour.
      expect(new Set(new Uint32Array(picture.data.buffer.slice(0, 4 * 100_000))).size).toBeGreaterThan(10);
    }
  });

  it('refuses what has no pairs, and unknown options', () => {
    expect(() => interactionsSvg(interactionsSync(table, { index: 'SV' }))).toThrow(/shows pairs/);
    expect(() => interactionsSvg(exact, { kind: 'pie' as 'network' })).toThrow(
      /one of network, heatmap, auto/,
    );
    expect(() => interactionsSvg(exact, { count: 0 })).toThrow(/count/);
    expect(() => interactionsSvg(exact, { title: 3 as unknown as string })).toThrow(/title/);
    expect(() => interactionsSvg(exact, { size: 3 } as object)).toThrow(/size/);
  });
});
