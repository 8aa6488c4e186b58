import { describe, expect, it } from 'vitest';
import { rankAttribution } from '../../lib/cells/ranking.js';
import { CellTable } from '../../lib/cells/table.js';
import { cellValues } from '../../lib/cells/values.js';
import { requestQuantileShapley, scoreQuantileShapley } from '../../lib/metrics/quantile-shapley.js';
import { playGame } from './games.js';

const descending = (n: number) => Float64Array.from({ length: n }, (_, i) => n - i);

function score(players: number, quantiles: number, game: (image: Uint8Array, text: Uint8Array) => number) {
  const table = new CellTable(players, players);
  const attribution = { image: descending(players), text: descending(players) };
  const request = requestQuantileShapley(table, rankAttribution(table, attribution), quantiles);
  const values = cellValues(playGame(table, game), 'log-probability');
  return { table, result: scoreQuantileShapley(request, values) };
}

describe('rank-quantile players', () => {
  it('need 1024 cells on 32 image states for all 25 cross pairs', () => {
    const { table } = score(10, 5, () => 0);
    expect([table.cellCount, table.imageStateCount, table.textStateCount]).toEqual([1024, 32, 32]);
  });

  it('give a pair its dividend where nothing else interacts', () => {
    // Players 0 and 1 form the first group of five, players 4 and 5 the third.
    const { result } = score(10, 5, (image, text) => (image[0] && text[4] ? 2 : 0) + image[3] - text[9]);
    const expected = new Float64Array(25);
    expected[0 * 5 + 2] = 2;
    for (let i = 0; i < 25; i++) expect(result.pairs[i]).toBeCloseTo(expected[i], 12);
    // Merged top groups hold both players from the third step on; at step .2 and .4 the text player is
    // background.
    expect([...result.curve].map((x) => Math.round(x * 1e9) / 1e9)).toEqual([0, 0, 0, 2, 2, 2]);
    expect(result.auc).toBeCloseTo(0.2 * (2 / 2 + 2 + 2), 12);
  });

  it('share a unanimity dividend over its members: 1 / (t - 1) for t groups', () => {
    const { result } = score(4, 4, (image, text) => (image[0] && image[2] && text[1] ? 1 : 0));
    expect(result.pairs[0 * 4 + 1]).toBeCloseTo(1 / 2, 12);
    expect(result.pairs[2 * 4 + 1]).toBeCloseTo(1 / 2, 12);
    expect(result.pairs[1 * 4 + 1]).toBeCloseTo(0, 12);
  });

  it('refuse more groups than a table can hold', () => {
    expect(() => score(10, 9, () => 0)).toThrow(/integer from 1 to 8/);
  });
});
