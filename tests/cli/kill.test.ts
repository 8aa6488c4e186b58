import { expect, it } from 'vitest';
import { killRuns } from '../../bench/reliability/kill-runs.js';
import { shareFolder } from '../../bench/reliability/one-folder.js';

const kills = 10;
const samples = 32;

// `npm run check:kills` does it 50 times.
it('a run killed 10 times in a row and resumed each time ends equal to an undisturbed one', async () => {
  const { ends, rowsAtKill, rows, identical } = await killRuns({ kills, samples, seed: 20 });
  expect([ends, rows, identical]).toEqual([[0, 0], 2 * samples, true]);
  // The kills were spread over the run and came before its end.
  expect(new Set(rowsAtKill).size).toBeGreaterThan(kills / 3);
  expect(rowsAtKill.at(-1)).toBeLessThan(2 * samples);
  // Twelve starts of a process, on whatever else the machine does.
}, 600_000);

it('two processes started on one folder lose no row: one is refused by the name of the other', async () => {
  const { refused, rows, identical, left } = await shareFolder(2, 4);
  expect([rows, identical, left]).toEqual([8, true, []]);
  // Where the second starts after the first ended, nobody needs refusing; never are both.
  expect(refused).toBeLessThan(2);
}, 120_000);
