import { describe, expect, it } from 'vitest';
import { readGames } from '../../bench/games/read.js';
import { PAIRS, PLAYERS } from '../../bench/micro/interactions-games.js';
import { type EstimateOptions, estimate, interactionsSync } from '../../lib/interactions/index.js';

describe('the committed games', () => {
  const games = readGames();

  it('are probabilities of three models, with names for all players', () => {
    expect(games).toHaveLength(12);
    expect(new Set(games.map(({ about }) => about.fingerprint)).size).toBe(3);
    for (const { about, table } of games) {
      expect(table.players.count).toBe(PLAYERS);
      expect(about.players).toHaveLength(PLAYERS);
      expect(table.values.every((value) => value >= 0 && value <= 1)).toBe(true);
      // The model is surer of its answer with everything than with nothing.
      expect(table.values[2 ** PLAYERS - 1]).toBeGreaterThan(table.values[0]);
    }
  });

  it('are estimated better without an estimator than by the one that shapiq takes', async () => {
    const medianError = async (options: Partial<EstimateOptions>): Promise<number> => {
      const errors: number[] = [];
      for (const [seed, { table }] of games.entries()) {
        const exact = interactionsSync(table, { pairs: PAIRS });
        const found = await estimate(PLAYERS, table.toValueFunction(), { pairs: PAIRS, seed, ...options });
        const squares = (values: Float64Array) => values.reduce((sum, value) => sum + value * value, 0);
        errors.push(squares(found.values.map((value, i) => value - exact.values[i])) / squares(exact.values));
      }
      return errors.sort((a, b) => a - b)[games.length / 2];
    };
    for (const budget of [256, 512]) {
      const ours = await medianError({ budget });
      const peers = await medianError({ budget, estimator: 'kernel-shap-iq' });
      // docs/interactions-measured.md has 9.5 and 3.0 times; half of the smaller one allows for other
      // roundings of the parities.
      expect(peers / ours, `${budget} coalitions`).toBeGreaterThan(1.5);
    }
  }, 60_000);
});
