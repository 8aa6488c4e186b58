import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const main = fileURLToPath(new URL('../../dist/lib/cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'fsyn-interrupt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An explainer that answers the first interrupt by holding the event loop for good. */
const stuck = `
export default {
  name: 'stuck', title: 'Stuck', reference: 'none', needsTruth: false,
  async attribute({ signal }) {
    setInterval(() => {}, 1000);
    process.stderr.write('at work\\n');
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    process.stderr.write('stuck\\n');
    for (;;);
  },
};`;

it('the second Ctrl-C ends the command whatever holds the event loop', async () => {
  writeFileSync(join(folder, 'stuck.mjs'), stuck);
  const args = [
    'bench',
    '--model',
    'llava-tiny',
    '--dataset',
    'presence',
    '--limit',
    '1',
    '--sii-samples',
    '0',
  ];
  const child = spawn(process.execPath, [main, ...args, '--explainers', './stuck.mjs', '--out', 'out'], {
    cwd: folder,
  });
  const said = (text: string) =>
    new Promise<void>((resolve, reject) => {
      let seen = '';
      child.stderr.on('data', (chunk) => {
        seen += chunk;
        if (seen.includes(text)) resolve();
      });
      child.once('exit', () => reject(new Error(`ended before ${text}: ${seen}`)));
    });
  const stuckAt = said('stuck\n');
  await said('at work');
  child.kill('SIGINT');
  await stuckAt;
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  child.kill('SIGINT');
  expect(await ended).toBe('SIGINT');
});
