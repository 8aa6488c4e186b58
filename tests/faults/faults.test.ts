import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Runs a script of this folder; how it ended and what it wrote. */
function run(script: string, args: readonly string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, script), ...args], { timeout: 50_000 });
  let output = '';
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  return new Promise<{ status: number | string | null; output: string }>((resolve) =>
    child.once('close', (code, signal) => resolve({ status: signal ?? code, output })),
  );
}

const kinds = ['loads', 'runs', 'interactions', 'evaluations'];

// A callback that lets a C++ exception out ends the process at the first of these.
test('workers can be terminated while jobs that have finished are settled', async () => {
  const { status, output } = await run('terminations.mjs', ['1', '--settling']);
  expect(status, output).toBe(0);
  expect(output).toBe(kinds.map((kind) => `${kind}: 1 terminations\n`).join(''));
});

test('workers can be terminated at any moment', async () => {
  const { status, output } = await run('terminations.mjs', ['2']);
  expect(status, output).toBe(0);
  expect(output).toBe(kinds.map((kind) => `${kind}: 2 terminations\n`).join(''));
});

test('the process can exit while jobs of every kind run', async () => {
  for (const kind of ['loads', ...kinds]) {
    const { status, output } = await run('exit-child.mjs', [kind, kind === 'loads' ? '3' : '1']);
    expect(status, `${kind}: ${output}`).toBe(7);
  }
});
