import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageInfo } from '../../lib/package.js';

/** How a process ended: its exit code, or the signal that ended it. */
export type Ending = number | NodeJS.Signals;

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly end: Ending; readonly log: string }>;
}

/** Starts `fsyn bench` on the embedded LLaVA with two cheap controls, in a process of its own. */
export function startBench(folder: string, samples: number, ...args: readonly string[]): RunningCommand {
  const main = join(packageInfo().root, 'dist/lib/cli/main.js');
  if (!existsSync(main)) throw new Error('build first: npm run build');
  const run = ['--model', 'llava-tiny', '--dataset', 'presence', '--sii-samples', '0', '--threads', '1'];
  const size = ['--limit', String(samples), '--gallery', '8'];
  const child = spawn(process.execPath, [main, 'bench', ...run, ...size, ...args], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (text) => (log += text));
  const ended = new Promise<{ end: Ending; log: string }>((resolve) =>
    child.once('close', (code, signal) => resolve({ end: signal ?? code ?? -1, log })),
  );
  return { child, ended };
}

/**
 * Lines of a results file, sorted, because the order of rows may differ between a killed run and a whole one.
 */
export function sortedRows(folder: string, out: string): string[] {
  return readFileSync(join(folder, out, 'results.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}
