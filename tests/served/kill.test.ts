import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { RunningServer } from '../../lib/serve/server.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { aQuestion, openTiny, startServer, stopAll } from './serving.js';

const main = join(import.meta.dirname, '../../dist/lib/cli/main.js');
const home = mkdtempSync(join(tmpdir(), 'fsyn-served-kill-'));
let vlm: Vlm;
let server: RunningServer;
/** Requests of the probes, and of preparing a sample: what the model answers, and its tokens' texts. */
let probes: number;
const preparing = 2;

beforeAll(async () => {
  if (!existsSync(main)) throw new Error('build first: npm run build');
  const { picture, question, ...rest } = await aQuestion();
  vlm = rest.vlm;
  server = await startServer(vlm, 'vllm');
  const served = await openTiny(server);
  probes = server.requests;
  await served.prepare(picture, question);
  expect(server.requests).toBe(probes + preparing);
});
afterAll(async () => {
  await stopAll(vlm);
  rmSync(home, { recursive: true });
});

const inFlight = 3;

function bench(out: string): { child: ChildProcess; end: Promise<unknown> } {
  const model = [
    '--model',
    `far=served:${server.url}/v1#llava-tiny`,
    '--served-side',
    '64',
    '--served-multiple',
    '8',
  ];
  const grid = ['--served-grid', '8', '--concurrency', String(inFlight)];
  const data = [
    '--dataset',
    'presence',
    '--limit',
    '1',
    '--explainers',
    'random,occlusion',
    '--sii-samples',
    '0',
  ];
  const args = [main, 'bench', ...model, ...grid, ...data, '--gallery', '0', '--resume', '--out', out];
  const child = spawn(process.execPath, args, { cwd: home, stdio: ['ignore', 'ignore', 'inherit'] });
  return {
    child,
    end: new Promise((resolve) => child.once('close', (code, signal) => resolve([code, signal]))),
  };
}

const cells = (out: string) => {
  const lines = readFileSync(join(home, out, 'timings.jsonl'), 'utf8')
    .trim()
    .split('\n');
  return JSON.parse(lines[0]) as { computed: number; found: number };
};
const asked = (since: number) => server.requests - since - probes - preparing;

it('a run that is killed and resumed asks the server once for every distinct cell', async () => {
  const start = server.requests;
  expect(await bench('whole').end).toEqual([0, null]);
  const { computed: distinct } = cells('whole');
  expect(asked(start)).toBe(distinct);

  const first = server.requests;
  const killed = bench('killed');
  await vi.waitFor(() => expect(asked(first)).toBeGreaterThan(distinct / 3), {
    timeout: 60_000,
    interval: 5,
  });
  killed.child.kill('SIGKILL');
  expect(await killed.end).toEqual([null, 'SIGKILL']);
  const before = asked(first);
  expect(before).toBeLessThan(distinct);

  const second = server.requests;
  expect(await bench('killed').end).toEqual([0, null]);
  const { computed, found } = cells('killed');
  expect(asked(second)).toBe(computed);
  expect(found + computed).toBe(distinct);
  // Only what was under way when the process died was asked for in vain.
  expect(before - found).toBeGreaterThanOrEqual(0);
  expect(before - found).toBeLessThanOrEqual(inFlight);
  const rows = (out: string) => readFileSync(join(home, out, 'results.jsonl'));
  expect(rows('killed')).toEqual(rows('whole'));
}, 120_000);
