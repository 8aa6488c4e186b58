import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const main = join(import.meta.dirname, '../../dist/lib/cli/main.js');
let folder: string;
beforeAll(() => {
  if (!existsSync(main)) throw new Error('build first: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'fsyn-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Finished {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

function fsyn(...args: string[]): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? null) : 0, stdout, stderr });
    });
  });
}

describe('the command line', () => {
  it('shows help on standard output with code 0', async () => {
    const overview = await fsyn('--help');
    expect([overview.code, overview.stderr]).toEqual([0, '']);
    for (const command of ['bench', 'explain', 'doctor']) {
      expect(overview.stdout).toContain(command);
      const page = await fsyn(command, '--help');
      expect([page.code, page.stdout.startsWith(`Usage: fsyn ${command} `)]).toEqual([0, true]);
    }
  });

  it.each([
    [['flub'], "Unknown command 'flub'"],
    [['bench', '--limit', 'x'], '--limit but received "x"'],
    [['bench', '--no-such'], '--no-such'],
    [['bench', '--model', 'no-such-model'], 'received "no-such-model"'],
    [['bench', '--dataset', 'no-such-data'], 'received "no-such-data"'],
    [['explain', '--question', 'Is it?'], '--image is required'],
  ])('ends %j with code 2 and says why', async (args, message) => {
    const { code, stdout, stderr } = await fsyn(...args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(message);
  });

  it('ends with code 1 and the stable code when the work cannot be done', async () => {
    const { code, stderr } = await fsyn(
      'explain',
      '--image',
      main,
      '--question',
      'Is it?',
      '--out',
      join(folder, 'out'),
    );
    expect(code).toBe(1);
    expect(stderr).toContain('[IMAGE]');
  });
});
