import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseRecords } from './records.js';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'dist/lib/cli/main.js');
const fixture = (...parts: string[]) => join(root, 'tests/fixtures/datasets', ...parts);
let folder: string;
beforeAll(() => {
  if (!existsSync(main)) throw new Error('build first: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'fsyn-datasets-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function bench(...args: string[]): Promise<{ code: number | string | null; stdout: string; stderr: string }> {
  const quick = ['--model', 'llava-tiny', '--sii-samples', '0', '--gallery', '0', '--threads', '1'];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, 'bench', ...quick, ...args],
      { cwd: folder },
      (error, stdout, stderr) => {
        resolve({ code: error ? (error.code ?? null) : 0, stdout, stderr });
      },
    );
  });
}
const rows = (out: string) => parseRecords(readFileSync(join(folder, out, 'results.jsonl'), 'utf8'));

// Every test starts the command line; a busy machine needs longer than the suite's limit for all explainers.
describe('fsyn bench --dataset NAME:PATH', { timeout: 180_000 }, () => {
  it('measures the embedded model on RePOPE, CV-Bench and MMStar files', async () => {
    const done = await bench(
      ...['--dataset', `repope:${fixture('repope')},cv-bench:${fixture('cv-bench')}`],
      ...['--dataset', `mmstar/math:${fixture('mmstar')}`, '--explainers', 'random', '--limit', '2'],
      ...['--out', 'published'],
    );
    expect([done.code, done.stderr]).toEqual([0, expect.stringContaining('published set has 2638')]);
    const records = rows('published');
    expect(records.map(({ dataset, status }) => `${dataset} ${status}`)).toEqual([
      'repope ok',
      'repope ok',
      'cv-bench ok',
      'cv-bench ok',
      'mmstar/math ok',
    ]);
    const [asked, , choice] = records;
    expect(asked.question).toMatch(/^Is there a .* in the image\?$/);
    expect(choice.status === 'ok' && choice.textLabels.join('')).toContain('(A)');
    // The answer format is asked for but is no player.
    expect(choice.status === 'ok' && choice.textLabels.join('')).not.toContain('Answer');
    for (const name of ['repope', 'cv-bench', 'mmstar/math']) expect(done.stdout).toContain(`${name} (n=`);
  });

  it('leaves the Oracle controls out of all explainers where nothing has ground truth, and says so', async () => {
    const done = await bench('--dataset', `mmstar:${fixture('mmstar')}`, '--limit', '1', '--out', 'all');
    expect([done.code, done.stderr]).toEqual([
      0,
      expect.stringMatching(/oracle and anti-oracle are left out/),
    ]);
    const names = rows('all').map(({ explainer }) => explainer);
    expect(names).toContain('occlusion');
    expect(names).not.toContain('oracle');
  });

  it('ends with 3 where single questions cannot be asked, and counts them before it begins', async () => {
    const file = fixture('bad', 'cv-bench-rows.parquet');
    const done = await bench('--dataset', `cv-bench:${file}`, '--explainers', 'random', '--out', 'rows');
    expect([done.code, done.stderr]).toEqual([3, expect.stringMatching(/1 of 3 questions cannot be asked/)]);
    expect(rows('rows').filter(({ status }) => status === 'failed')).toHaveLength(2);
  });

  it('ends with 1 where files are missing, cut off or of another schema, and writes nothing', async () => {
    const cut = join(folder, 'cut.parquet');
    cpSync(fixture('mmstar', 'mmstar.parquet'), cut);
    truncateSync(cut, 3000);
    for (const [dataset, reason] of [
      [`repope:${folder}`, /expected a folder with annotations[\s\S]*\[DATASET\]/],
      [`mmstar:${cut}`, /cut\.parquet is not a whole Parquet file[\s\S]*\[DATASET\]/],
      [`cv-bench:${fixture('mmstar')}`, /has another schema than expected[\s\S]*\[DATASET\]/],
    ] as const) {
      const done = await bench('--dataset', dataset, '--out', 'nothing');
      expect([done.code, done.stderr]).toEqual([1, expect.stringMatching(reason)]);
    }
    expect(existsSync(join(folder, 'nothing'))).toBe(false);
  });

  it('ends with 2 for a dataset that it does not know', async () => {
    const done = await bench('--dataset', 'coco:somewhere', '--out', 'nothing');
    expect([done.code, done.stderr]).toEqual([2, expect.stringContaining('repope:PATH')]);
  });
});
