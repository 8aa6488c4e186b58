import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { packageInfo } from '../../lib/package.js';

const guides = fileURLToPath(new URL('../../docs/guides/python/', import.meta.url));
const runner = fileURLToPath(new URL('run_notebook.py', import.meta.url));
const main = join(packageInfo().root, 'dist/lib/cli/main.js');
const work = mkdtempSync(join(tmpdir(), 'fsyn-notebook-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

interface Notebook {
  readonly cells: readonly {
    readonly cell_type: string;
    readonly outputs?: readonly { readonly text?: string[] }[];
  }[];
}

const printed = ({ cells }: Notebook) =>
  cells.flatMap(({ outputs }) => outputs?.flatMap(({ text }) => text ?? []) ?? []).join('');

const missing = [
  spawnSync('python3', ['--version']).status === 0 ? '' : 'there is no python3',
  existsSync(main) ? '' : 'dist/ is not built',
].filter((reason) => reason !== '');
if (missing.length > 0) console.warn(`The notebook was not run: ${missing.join(', ')}.`);

test.skipIf(missing.length > 0)(
  'the notebook runs from players to a verdict',
  async () => {
    for (const file of ['evaluate.ipynb', 'gradients.py']) copyFileSync(join(guides, file), join(work, file));
    const { stdout } = await promisify(execFile)('python3', [runner, join(work, 'evaluate.ipynb')], {
      cwd: work,
      env: {
        ...process.env,
        FSYN: `"${process.execPath}" "${main}"`,
        FSYN_MODELS: join(packageInfo().root, 'bench/models'),
        FSYN_LIMIT: '3',
      },
    });
    if (/was not run/.test(stdout)) console.warn('The cell with PyTorch was not run: it is not installed.');
    expect(stdout).toContain('image players: 1 tile of 8 x 8');
    for (const name of ['oracle', 'random', 'middle', 'forgotten']) {
      expect(stdout).toMatch(new RegExp(`^${name} +F_syn +-?[0-9.]+ \\[.*\\] +3 samples$`, 'm'));
    }
    expect(stdout).toMatch(/^WARNING: suspicious scores of forgotten: all scores of a modality are equal/m);
    expect(existsSync(join(work, 'work', 'results', 'report.html'))).toBe(true);
  },
  120_000,
);

test('the notebook is kept with what it printed, and without a path of a machine', () => {
  const text = readFileSync(join(guides, 'evaluate.ipynb'), 'utf8');
  const kept = printed(JSON.parse(text) as Notebook);
  expect(kept).toMatch(/^gradients +F_syn/m);
  expect(text).not.toMatch(/\/(?:home|Users|tmp|work|root)\//);
  expect(text).not.toMatch(/Traceback/);
});
