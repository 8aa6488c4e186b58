import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packageInfo } from '../../lib/package.js';
import { parseRecords } from '../cli/records.js';

const { root } = packageInfo();
let folder: string;
beforeAll(() => {
  if (!existsSync(join(root, 'dist/lib/bench.js'))) throw new Error('build first: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'fsyn-program-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/fsyn'), 'junction');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('the program of docs/guides/benchmark-from-a-program.md runs as it stands, through the package', async () => {
  const guide = readFileSync(join(root, 'docs/guides/benchmark-from-a-program.md'), 'utf8');
  const [, program] = /```js\n([\s\S]+?)```/.exec(guide)!;
  writeFileSync(join(folder, 'program.mjs'), program);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['program.mjs'], { cwd: folder });
  expect(stdout).toMatch(/^3 samples, about \d+ cells\n9 rows, 0 failed, 0 found from before\n/);
  expect(stdout).toMatch(/best: \S+; page in results\/from-a-program\/report\.html\n$/);
  expect(stderr.trim().split('\n').at(-1)).toBe('3/3 llava-tiny');
  const rows = parseRecords(readFileSync(join(folder, 'results/from-a-program/results.jsonl'), 'utf8'));
  expect(new Set(rows.map(({ explainer }) => explainer))).toEqual(new Set(['oracle', 'random', 'occlusion']));
  expect(rows.map(({ versions }) => Object.keys(versions))).toContainEqual(['fsyn', 'code', 'onnxruntime']);
});

it('fsyn/bench is typed and offers what the guide lists', async () => {
  const bench: object = await import('../../lib/bench.js');
  const guide = readFileSync(join(root, 'docs/guides/benchmark-from-a-program.md'), 'utf8');
  const table = guide.slice(guide.indexOf('| to | call |'));
  const named = [...table.matchAll(/`([a-z]\w+)`/g)].map(([, name]) => name);
  const fields = ['name', 'version', 'size', 'loadVlm', 'code', 'fsyn'];
  for (const name of named.filter((word) => !fields.includes(word)).filter((word) => /[A-Z]/.test(word)))
    expect(bench, name).toHaveProperty(name);
  expect(existsSync(join(root, 'dist/lib/bench.d.ts'))).toBe(true);
});
