import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { ModelCheck } from '../../lib/measure/model-check.js';
import { parseRecords } from './records.js';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'dist/lib/cli/main.js');
const model = ['--model', 'llava-tiny'];
const small = ['--explainers', 'oracle,random', '--dataset', 'presence', '--sii-samples', '0'];
let folder: string;
beforeAll(() => {
  if (!existsSync(main)) throw new Error('build first: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'fsyn-e2e-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Finished {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[]): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(command, [...args], { cwd: folder, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? null) : 0, stdout, stderr });
    });
  });
}
const fsyn = (...args: string[]) => run(process.execPath, [main, ...args]);
const rows = (out: string) => readFileSync(join(folder, out, 'results.jsonl'), 'utf8');

describe('fsyn bench on the embedded model', () => {
  it('ranks the controls, prints the table and leaves the same numbers in the folder', async () => {
    const done = await fsyn(
      'bench',
      ...model,
      '--dataset',
      'presence',
      '--explainers',
      'oracle,anti-oracle,random',
      '--limit',
      '15',
      '--sii-samples',
      '1',
      '--out',
      'first',
    );
    expect([done.code, done.stderr.includes('\x1b')]).toEqual([0, false]);
    const summary = JSON.parse(readFileSync(join(folder, 'first', 'summary.json'), 'utf8'));
    const [scope] = summary.models[0].scopes;
    expect(scope.samples).toBe(15);
    const titles: Record<string, string> = {
      oracle: 'Oracle',
      'anti-oracle': 'Anti-Oracle',
      random: 'Random',
    };
    for (const { name, means } of scope.explainers) {
      const line = done.stdout.split('\n').find((text) => text.startsWith(`${titles[name]} `));
      expect(line).toContain(means.raw.estimate.toFixed(3));
    }
    const raw = (name: string) =>
      scope.explainers.find((row: { name: string }) => row.name === name).byGrounding.grounded;
    expect(raw('oracle').estimate).toBeGreaterThan(raw('random').estimate);
    expect(raw('random').estimate).toBeGreaterThan(raw('anti-oracle').estimate);
    expect(scope.explainers[0].shapley.rows).toBe(1);
    expect(existsSync(join(folder, 'first', 'report.html'))).toBe(true);
  });

  it('plans a run without evaluating or writing anything', async () => {
    const options = [
      ...model,
      '--dataset',
      'presence',
      '--limit',
      '10',
      '--sii-samples',
      '0',
      '--out',
      'planned',
    ];
    const page = await fsyn('bench', '--dry-run', ...options, '--memory', '64MB');
    expect(page.code).toBe(0);
    expect(page.stdout).toMatch(/budget +64\.0 MB/);
    expect(page.stdout).toContain('No fallbacks.');
    const { plans } = JSON.parse((await fsyn('bench', '--dry-run', '--json', ...options)).stdout);
    expect(plans).toMatchObject([{ model: 'llava-tiny', dataset: 'presence', samples: 10, planned: 1 }]);
    const [{ plan }] = plans[0].perSample;
    expect(plan.bytes.peak).toBeLessThanOrEqual(plan.bytes.budget);
    expect(existsSync(join(folder, 'planned'))).toBe(false);
  });

  it.each([['bench', '--dry-run'], ['bench', '--out', 'never'], ['speedup']])(
    'refuses a memory budget that is too small before any work: %s %s',
    async (...command) => {
      const done = await fsyn(...command, '--memory', '100kB');
      expect([done.code, done.stdout]).toEqual([1, '']);
      expect(done.stderr).toMatch(/memory budget of 100 kB is too small: .*need .* \[BUDGET\]/);
    },
  );

  it('writes the same bytes with one and with two threads', async () => {
    for (const threads of ['1', '2']) {
      const done = await fsyn(
        'bench',
        ...model,
        ...small,
        '--limit',
        '4',
        '--threads',
        threads,
        '--out',
        `threads${threads}`,
      );
      expect([done.code, done.stderr]).toEqual([0, expect.any(String)]);
    }
    expect(rows('threads2')).toBe(rows('threads1'));
  });

  it('keeps finished rows on SIGINT, ends with 130 and resumes to the same bytes', async () => {
    expect((await fsyn('bench', ...model, ...small, '--limit', '12', '--out', 'whole')).code).toBe(0);
    const child = spawn(
      process.execPath,
      [main, 'bench', ...model, ...small, '--limit', '12', '--out', 'stopped'],
      {
        cwd: folder,
      },
    );
    await untilRows(child, join(folder, 'stopped', 'results.jsonl'), 2);
    child.kill('SIGINT');
    const code = await new Promise((resolve) => child.once('exit', resolve));
    expect(code).toBe(130);
    const kept = rows('stopped');
    expect(kept.endsWith('\n')).toBe(true);
    const resumed = await fsyn(
      'bench',
      ...model,
      ...small,
      '--limit',
      '12',
      '--resume',
      '--out',
      'stopped',
      '--json',
    );
    expect(resumed.code).toBe(0);
    expect(JSON.parse(resumed.stdout).resumed).toBe(kept.trimEnd().split('\n').length);
    expect(rows('stopped')).toBe(rows('whole'));
  });

  it('ends with 3 when rows failed, and records why', async () => {
    writeFileSync(
      join(folder, 'data.jsonl'),
      `${JSON.stringify({ image: 'no.png', question: 'Is there a red circle?', answer: 'yes' })}\n`,
    );
    const done = await fsyn(
      'bench',
      ...model,
      '--dataset',
      'data.jsonl',
      '--explainers',
      'random',
      '--out',
      'failed',
    );
    expect(done.code).toBe(3);
    const [record] = parseRecords(rows('failed'));
    expect(record).toMatchObject({
      status: 'failed',
      error: { code: 'IMAGE', message: expect.stringContaining('no.png') },
    });
  });

  // A file size limit gives the error of a full disk at a byte of our choosing, without needing a small disk.
  it.skipIf(process.platform === 'win32')(
    'says when results cannot be written, and keeps the rows before',
    async () => {
      const blocks = 24;
      const limited = `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`;
      const done = await run('bash', [
        '-c',
        limited,
        'bash',
        process.execPath,
        main,
        'bench',
        ...model,
        ...small,
        '--limit',
        '40',
        '--out',
        'full',
      ]);
      expect(done.code).toBe(1);
      expect(done.stderr).toContain('[RESULTS]');
      expect(done.stderr).toMatch(/Cannot write results to full/);
      const text = rows('full');
      expect(text.endsWith('\n')).toBe(true);
      expect(parseRecords(text).length).toBeGreaterThan(0);
    },
  );
});

describe('broken models', () => {
  it('a truncated model file is a clear error', async () => {
    const copy = join(folder, 'broken-model');
    cpSync(join(root, 'bench/models/llava-tiny/model'), copy, { recursive: true });
    truncateSync(join(copy, 'onnx', 'vision_encoder.onnx'), 1000);
    const done = await fsyn('bench', '--model', copy, ...small, '--limit', '1', '--out', 'broken');
    expect(done.code).toBe(1);
    expect(done.stderr).toMatch(/vision_encoder\.onnx[\s\S]*\[MODEL_FILE\]/);
    rmSync(join(copy, 'onnx', 'vision_encoder.onnx'));
    const missing = await fsyn('doctor', '--model', copy);
    expect(missing.code).toBe(1);
    expect(missing.stdout).toContain('vision_encoder');
  });
});

describe('fsyn explain', () => {
  it('writes an overlay per explainer and a page that shows them all', async () => {
    const image = join(root, 'tests/golden/embedded/test-2026-presence-grounded-0.png');
    const done = await fsyn(
      'explain',
      '--image',
      image,
      '--question',
      'Is there a red circle?',
      '--explainers',
      'random,occlusion',
      '--out',
      'pictures',
    );
    expect([done.code, done.stderr]).toEqual([0, '']);
    for (const name of ['random.png', 'occlusion.png', 'explanation.html', 'explanation.json']) {
      expect(existsSync(join(folder, 'pictures', name))).toBe(true);
    }
    const page = readFileSync(join(folder, 'pictures', 'explanation.html'), 'utf8');
    // The picture itself comes first.
    expect(page.match(/<figure>/g)).toHaveLength(3);
    expect(page).not.toMatch(/src="http/);
  });
});

describe('fsyn doctor', () => {
  it('finds everything that fsyn needs on a working installation', async () => {
    const done = await fsyn('doctor', '--json');
    const diagnosis = JSON.parse(done.stdout);
    expect([done.code, diagnosis.problems]).toEqual([0, []]);
    expect(diagnosis.inference.providers).toContainEqual({ name: 'cpu', available: true, problem: '' });
    expect(diagnosis.models).toContainEqual(expect.objectContaining({ name: 'llava-tiny', ok: true }));
  });

  it('tries a model that is named: a masked pass, how passes are shared, and every explainer', async () => {
    const model = fileURLToPath(new URL('../golden/vlm-llava', import.meta.url));
    const done = await fsyn('doctor', '--json', '--model', model);
    const { models } = JSON.parse(done.stdout) as { models: { name: string; check?: ModelCheck }[] };
    const { check } = models.find(({ name }) => name === model)!;
    expect(check).toMatchObject({ textMasking: { mode: 'remove' }, fallbacks: [], leftOut: [] });
    expect(check!.explainers).toEqual(
      expect.arrayContaining(['occlusion', 'attn-lrp', 'integrated-gradients']),
    );
    expect(Math.abs(check!.present - check!.absent)).toBeGreaterThan(1e-3);
    expect(done.code).toBe(0);
  });
});

/** Waits until a results file has so many rows, or the process that writes it ends. */
async function untilRows(child: ChildProcess, path: string, count: number): Promise<void> {
  while (child.exitCode === null) {
    if (existsSync(path) && readFileSync(path, 'utf8').split('\n').length > count) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
