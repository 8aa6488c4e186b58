import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../lib/statistics/random.js';
import { parseRecords } from './records.js';

const main = join(import.meta.dirname, '../../dist/lib/cli/main.js');
const kills = 20;
/** More samples than the kills let through: each strikes after two at the latest, give or take what is in the works. */
const samples = 64;
let folder: string;
beforeAll(() => {
  if (!existsSync(main)) throw new Error('build first: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'fsyn-kill-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function bench(...args: string[]): ChildProcess {
  const cheap = [
    '--model',
    'llava-tiny',
    '--dataset',
    'presence',
    '--explainers',
    'oracle,random',
    '--sii-samples',
    '0',
  ];
  const size = ['--limit', String(samples), '--gallery', '8', '--threads', '1'];
  return spawn(process.execPath, [main, 'bench', ...cheap, ...size, ...args], {
    cwd: folder,
    stdio: 'ignore',
  });
}
const ended = (child: ChildProcess) =>
  new Promise<[number | null, string | null]>((resolve) =>
    child.once('exit', (code, signal) => resolve([code, signal])),
  );
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const results = (out: string) => join(folder, out, 'results.jsonl');
const size = (out: string) => (existsSync(results(out)) ? statSync(results(out)).size : 0);
const sorted = (out: string) => readFileSync(results(out), 'utf8').split('\n').sort().join('\n');

it('a run killed 20 times in a row and resumed each time ends equal to an undisturbed one', async () => {
  const whole = ended(bench('--out', 'whole'));
  expect(await whole).toEqual([0, null]);
  const rowSize = size('whole') / (2 * samples);
  const random = new Random(20);
  const rowsAtKill: number[] = [];
  for (let kill = 0; kill < kills; kill++) {
    const child = bench('--resume', '--out', 'killed');
    const end = ended(child);
    // A quarter strikes at a moment of the clock, while the process starts, reads what is there and cuts the torn line off;
    // the others after up to two samples and a few milliseconds more, which is as likely inside a write as anywhere else.
    const early = random.integer(4) === 0;
    const wanted = size('killed') + 2 * rowSize * (early ? 2 : 2 * random.uniform());
    const latest = performance.now() + (early ? random.integer(1500) : Number.POSITIVE_INFINITY);
    while (child.exitCode === null && size('killed') < wanted && performance.now() < latest) await pause(5);
    if (!early) await pause(random.integer(8));
    child.kill('SIGKILL');
    expect(await end).toEqual([null, 'SIGKILL']);
    rowsAtKill.push(Math.floor(size('killed') / rowSize));
  }
  // The kills were spread over the run and came before its end.
  expect(new Set(rowsAtKill).size).toBeGreaterThan(kills / 3);
  expect(rowsAtKill.at(-1)).toBeLessThan(2 * samples);
  expect(await ended(bench('--resume', '--out', 'killed'))).toEqual([0, null]);
  expect(parseRecords(readFileSync(results('killed'), 'utf8'))).toHaveLength(2 * samples);
  expect(sorted('killed')).toBe(sorted('whole'));
  for (const name of ['run.json', 'summary.json'])
    expect(() => JSON.parse(readFileSync(join(folder, 'killed', name), 'utf8'))).not.toThrow();
  // Twenty-two starts of a process, on whatever else the machine does.
}, 900_000);
