import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeCells } from '../../lib/runner/cell-record.js';

const main = join(import.meta.dirname, '../../dist/lib/cli/main.js');
let folder: string;
beforeAll(() => {
  if (!existsSync(main)) throw new Error('build first: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'fsyn-kill-cells-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * A sample on each of two models with the exact index (about 1,100 cells); one of the explainers asks for
 * cells itself.
 */
function bench(...args: string[]): { child: ChildProcess; end: Promise<unknown>; printed: () => string } {
  const grid = ['--model', 'llava-tiny', '--model', 'internvl-tiny', '--dataset', 'presence', '--limit', '1'];
  const cells = ['--explainers', 'occlusion,random', '--sii-samples', '1', '--sii-partitions', '1'];
  const rest = ['--gallery', '0', '--threads', '1', '--resume'];
  const child = spawn(process.execPath, [main, 'bench', ...grid, ...cells, ...rest, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const end = new Promise((resolve) => child.once('close', (code, signal) => resolve([code, signal])));
  return { child, end, printed: () => text };
}
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const file = (out: string, name: string) => join(folder, out, name);

interface Timing {
  readonly computed: number;
  readonly found: number;
}
const timings = (out: string) =>
  readFileSync(file(out, 'timings.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Timing);
const sum = (list: readonly Timing[], key: keyof Timing) => list.reduce((total, one) => total + one[key], 0);

it('a run killed in the middle of samples computes every cell once and ends with the same bytes', async () => {
  const whole = bench('--out', 'whole');
  expect(await whole.end).toEqual([0, null]);
  expect(whole.printed()).not.toContain('found from before');
  expect(existsSync(file('whole', 'cells.bin'))).toBe(false);
  const undisturbed = timings('whole');
  expect(undisturbed.map(({ found }) => found)).toEqual([0, 0]);

  // Killed three times in the first sample and once in the other, each time with cells that are not in a row
  // yet.
  let inSample = -1;
  for (const [rows, share] of [
    [0, 0.02],
    [0, 0.3],
    [0, 0.6],
    [2, 0.4],
  ]) {
    const { computed } = undisturbed[rows / 2];
    const { child, end } = bench('--out', 'killed');
    // When the rows of a sample are there its cells still are for a moment: the next one's come after few
    // have been seen.
    let fresh = rows === 0;
    const ready = () => {
      if (readRows('killed') < rows) return false;
      const cells = cellsIn('killed');
      fresh ||= cells < share * computed;
      return fresh && cells >= share * computed && cells < computed;
    };
    while (child.exitCode === null && !ready()) await pause(5);
    child.kill('SIGKILL');
    expect(await end).toEqual([null, 'SIGKILL']);
    expect(readRows('killed')).toBe(rows);
    inSample = cellsIn('killed');
    expect(inSample).toBeGreaterThanOrEqual(share * computed);
    expect(inSample).toBeLessThan(computed);
  }

  const last = bench('--out', 'killed');
  expect(await last.end).toEqual([0, null]);
  const resumed = timings('killed');
  // Each sample: what was found, and what was computed by the process that wrote its rows, is what an
  // undisturbed run computes.
  expect(resumed.map(({ computed, found }) => computed + found)).toEqual(
    undisturbed.map(({ computed }) => computed),
  );
  expect(resumed.every(({ found }) => found > 0)).toBe(true);
  expect(resumed.at(-1)!.found).toBe(inSample);
  expect(last.printed()).toContain(
    `${inSample} cells found from before, ${undisturbed.at(-1)!.computed - inSample} scored now`,
  );
  expect(sum(resumed, 'computed')).toBeLessThan(sum(undisturbed, 'computed'));
  expect(readFileSync(file('killed', 'results.jsonl'))).toEqual(readFileSync(file('whole', 'results.jsonl')));
  expect(existsSync(file('killed', 'cells.bin'))).toBe(false);
}, 900_000);

/** Cells that a process which starts now would find. */
function cellsIn(out: string): number {
  const path = file(out, 'cells.bin');
  if (!existsSync(path)) return 0;
  return decodeCells(readFileSync(path)).records.reduce((count, { cells }) => count + cells.length, 0);
}

function readRows(out: string): number {
  const path = file(out, 'results.jsonl');
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
}
