import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RedisServer, redisProgram, startRedis } from '../../bench/reliability/redis-server.js';
import { bench } from '../../lib/cli/bench.js';
import { queue as queueCommand } from '../../lib/cli/queue.js';
import { worker as workerCommand } from '../../lib/cli/worker.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { connectQueue } from '../../lib/queue/connect.js';
import { distributeOver } from '../../lib/queue/coordinator.js';
import type { OpenedRun } from '../../lib/queue/measured-run.js';
import { clearQueue, queueStatus } from '../../lib/queue/status.js';
import { runWorker, type WorkerOptions } from '../../lib/queue/worker.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';
import type { BenchmarkOptions } from '../../lib/runner/run-options.js';
import { defaultSettings } from '../../lib/runner/settings.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { runCommand } from '../cli/run-command.js';
import { type Calls, fakeDataset, fakeModel } from '../runner/fake-model.js';

const program = redisProgram();
if (program === undefined)
  console.warn('NOT RUN: tests of the queue need redis-server or valkey-server, which is not installed.');

const questions = Array.from({ length: 16 }, (_, i) => `a bb cc d${i}`);
const controls = findExplainers(['oracle', 'anti-oracle', 'random']);
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A model that takes its time, so that several workers and a kill come in between. */
function slowModel(calls: Calls, milliseconds: number, changes: Partial<Vlm> = {}): Vlm {
  const model = fakeModel(calls);
  return {
    ...model,
    async prepare(...given) {
      await pause(milliseconds);
      return model.prepare(...given);
    },
    ...changes,
  };
}

describe.skipIf(program === undefined)('a queue', () => {
  let redis: RedisServer;
  let folder: string;
  let calls: Calls;
  let stops: AbortController[];
  let workers: Promise<unknown>[];
  let coordinators: Promise<unknown>[];

  beforeAll(async () => {
    redis = await startRedis(program!);
  });
  afterAll(() => redis?.remove());
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fsyn-queue-'));
    calls = { prepared: 0, cells: 0 };
    stops = [];
    workers = [];
    coordinators = [];
  });
  afterEach(async () => {
    for (const stop of stops) stop.abort();
    await Promise.allSettled([...workers, ...coordinators]);
    await clearQueue(redis.url);
    rmSync(folder, { recursive: true, force: true });
  });

  const rows = (out: string) =>
    readFileSync(join(folder, out, 'results.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .sort();

  function run(out: string, options: Partial<BenchmarkOptions> = {}) {
    return runBenchmark({
      models: [fakeModel()],
      datasets: [fakeDataset(questions)],
      explainers: controls,
      out: join(folder, out),
      shapleySamples: 2,
      gallerySamples: 3,
      ...options,
    });
  }

  function distributed(out: string, { signal, ...options }: Partial<BenchmarkOptions> = {}) {
    const stop = new AbortController();
    stops.push(stop);
    const ended = run(out, {
      distribute: distributeOver({ url: redis.url, attempts: 2, backOff: 10 }),
      signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
      ...options,
    });
    coordinators.push(ended);
    ended.catch(() => {});
    return ended;
  }

  function opened(model: Vlm): OpenedRun {
    return {
      models: [model],
      datasets: [fakeDataset(questions)],
      explainers: controls,
      settings: defaultSettings,
      shapleySamples: 2,
    };
  }

  function startWorker(options: Partial<WorkerOptions> = {}, model = slowModel(calls, 15)) {
    const stop = new AbortController();
    const open = async () => opened(model);
    const ended = runWorker({ url: redis.url, lock: 1, open, signal: stop.signal, ...options });
    stops.push(stop);
    workers.push(ended);
    ended.catch(() => {});
    return { stop, ended };
  }

  /** What is left on the server besides the engine's own names. */
  async function keysLeft(): Promise<string[]> {
    const client = new Redis(redis.url);
    const keys = await client.keys('*');
    client.disconnect();
    return keys;
  }

  it('gives four workers the rows of one undisturbed run, and is empty afterwards', async () => {
    await run('whole');
    let openings = 0;
    const taken = [0, 0, 0, 0];
    for (const i of taken.keys())
      startWorker({
        open: async () => {
          openings++;
          return opened(slowModel(calls, 15));
        },
        onSample: () => taken[i]++,
      });
    const outcome = await distributed('queued');
    expect(outcome).toMatchObject({ failed: 0, resumed: 0 });
    expect(outcome.keys.size).toBe(48);
    expect(rows('queued')).toEqual(rows('whole'));
    expect(calls.prepared).toBe(16);
    expect(openings).toBe(4);
    await expect.poll(() => taken.reduce((sum, one) => sum + one)).toBe(16);
    expect(taken.filter((one) => one > 0).length).toBeGreaterThan(1);
    for (const file of ['timings.jsonl', 'gallery.jsonl'])
      expect(readFileSync(join(folder, 'queued', file), 'utf8').split('\n').length).toBe(
        readFileSync(join(folder, 'whole', file), 'utf8').split('\n').length,
      );
    expect(await keysLeft()).toEqual([]);
    for (const file of readdirSync(join(folder, 'queued')))
      expect(readFileSync(join(folder, 'queued', file), 'utf8')).not.toContain(redis.password);
  });

  it('loses and doubles nothing when the server is killed and started again', async () => {
    await run('whole');
    const notes: string[] = [];
    for (let i = 0; i < 3; i++) startWorker({}, slowModel(calls, 40));
    let killed: Promise<void> | undefined;
    let most = 0;
    await distributed('queued', {
      onNote: (text) => notes.push(text),
      onProgress: ({ done, workers }) => {
        most = Math.max(most, workers ?? 0);
        if (done >= 4)
          killed ??= redis
            .kill()
            .then(() => pause(200))
            .then(redis.start);
      },
    });
    await killed;
    expect(killed).toBeDefined();
    expect(most).toBe(3);
    expect(rows('queued')).toEqual(rows('whole'));
    expect(notes.join('\n')).toMatch(/is away[\s\S]*is back/);
    expect(notes.join('\n')).not.toContain(redis.password);
  });

  it('gives the sample of a worker that died to another', async () => {
    await run('whole');
    const done = distributed('queued');
    const [{ id }] = await expect
      .poll(() => queueStatus(redis.url))
      .toHaveLength(1)
      .then(() => queueStatus(redis.url));
    const client = new Redis(redis.url, { maxRetriesPerRequest: null });
    let taken = 0;
    const dead = new Worker(
      `default-${id}`,
      async () => {
        taken++;
        await new Promise(() => {});
      },
      {
        connection: client,
        prefix: 'fsyn',
        lockDuration: 500,
        skipLockRenewal: true,
        skipStalledCheck: true,
      },
    );
    await expect.poll(() => taken).toBe(1);
    await dead.close(true);
    client.disconnect();
    const notes: string[] = [];
    startWorker({ onNote: (text) => notes.push(text) });
    await done;
    expect(rows('queued')).toEqual(rows('whole'));
    expect(notes.join()).toContain('its sample is measured again');
  });

  it('makes failed rows with the stack of samples that every worker fails on', async () => {
    const done = distributed('queued', { datasets: [fakeDataset(questions.slice(0, 2))] });
    await expect.poll(() => queueStatus(redis.url)).toHaveLength(1);
    const [{ id }] = await queueStatus(redis.url);
    const client = new Redis(redis.url, { maxRetriesPerRequest: null });
    let tries = 0;
    const faulty = new Worker(
      `default-${id}`,
      async () => {
        tries++;
        throw new TypeError('no such pixel');
      },
      { connection: client, prefix: 'fsyn' },
    );
    const { failed } = await done;
    await faulty.close();
    client.disconnect();
    expect([failed, tries]).toEqual([6, 4]);
    for (const row of readRecords(join(folder, 'queued')))
      expect(row).toMatchObject({
        status: 'failed',
        error: {
          code: 'QUEUE',
          message: 'Given up after 2 tries by workers: no such pixel',
          stack: expect.stringContaining('queue.test.ts'),
        },
      });
  });

  it('is refused by a worker with another model, which the coordinator tells', async () => {
    const notes: string[] = [];
    const done = distributed('queued', { onNote: (text) => notes.push(text) });
    const wrong = startWorker({}, slowModel(calls, 0, { fingerprint: 'fake-2' }));
    await expect(wrong.ended).rejects.toMatchObject({
      code: 'QUEUE',
      message: expect.stringContaining('models that are not what they were: fake'),
    });
    expect(calls.prepared).toBe(0);
    await expect
      .poll(() => notes.join(), { timeout: 5000 })
      .toContain('models that are not what they were: fake');
    expect((await queueStatus(redis.url))[0]).toMatchObject({
      waiting: 16,
      jobs: 16,
      refusals: [expect.any(String)],
    });
    startWorker();
    expect(await done).toMatchObject({ failed: 0 });
  });

  it('is refused by a worker with other code, and by one that makes other jobs of the same names', async () => {
    const stop = new AbortController();
    const done = distributed('queued', { signal: stop.signal });
    const other = startWorker({
      open: async () => ({ ...opened(fakeModel()), versions: { fsyn: '0.0.0' } }),
    });
    await expect(other.ended).rejects.toThrow('versions: fsyn');
    const fewer = startWorker({ open: async () => ({ ...opened(fakeModel()), shapleySamples: 0 }) });
    await expect(fewer.ended).rejects.toThrow('shapleySamples: 2, here 0');
    const [oracle, ...others] = controls;
    const edited = [{ ...oracle, fingerprintOf: () => 'edited' }, ...others];
    const imported = startWorker({ open: async () => ({ ...opened(fakeModel()), explainers: edited }) });
    await expect(imported.ended).rejects.toThrow('has other keys here');
    // The job that it took is there for others.
    expect((await queueStatus(redis.url))[0]).toMatchObject({ waiting: 16, active: 0, failed: 0 });
    stop.abort(new Error('enough'));
    await expect(done).rejects.toThrow('enough');
  });

  it('goes on with --resume: what was measured is not measured again', async () => {
    await run('whole');
    const stop = new AbortController();
    startWorker();
    const interrupted = distributed('queued', {
      signal: stop.signal,
      onProgress: ({ done }) => done >= 4 && stop.abort(new Error('enough')),
    });
    await expect(interrupted).rejects.toThrow('enough');
    const [{ waiting }] = await queueStatus(redis.url);
    expect(waiting).toBe(0);
    const kept = rows('queued').length;
    expect(kept).toBeLessThan(48);
    const outcome = await distributed('queued', { resume: true });
    expect(outcome.resumed).toBe(kept);
    expect(rows('queued')).toEqual(rows('whole'));
    // Measured while nobody collected included.
    expect(calls.prepared).toBe(16);
  });

  it('lets a worker that is to stop finish its sample', async () => {
    const done = distributed('queued');
    const first = startWorker(
      { onSample: () => first.stop.abort(new Error('SIGTERM')) },
      slowModel(calls, 50),
    );
    const { samples } = await first.ended;
    expect(samples).toBe(calls.prepared);
    expect(samples).toBeLessThan(16);
    startWorker();
    await done;
    expect(calls.prepared).toBe(16);
    expect(new Set(rows('queued')).size).toBe(48);
  });

  it('keeps a rate of all workers together, and workers end when idle', async () => {
    const stop = new AbortController();
    const done = distributed('queued', { signal: stop.signal });
    const both = [startWorker({ rate: 3, idle: 1 }), startWorker({ rate: 3, idle: 1 })];
    const ended = (await Promise.all(both.map(({ ended }) => ended))) as { samples: number }[];
    expect(ended[0].samples + ended[1].samples).toBe(3);
    stop.abort(new Error('enough'));
    await expect(done).rejects.toThrow('enough');
  });

  it('tells of a server that is not there or refuses, without the password', async () => {
    await expect(
      connectQueue({ url: 'redis://:hidden@127.0.0.1:1', onNote: () => {} }),
    ).rejects.toMatchObject({
      code: 'QUEUE',
      message: expect.stringMatching(/^Cannot reach the queue at redis:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/),
    });
    const wrong = redis.url.replace(redis.password, 'hidden');
    const error: unknown = await queueStatus(wrong).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'QUEUE', message: expect.stringContaining('WRONGPASS') });
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('hidden');
  });

  it('is used by the commands', async () => {
    const options = ['--model', 'llava-tiny', '--dataset', 'presence', '--limit', '2', '--sii-samples', '0'];
    const out = join(folder, 'queued');
    const [measured, working] = await Promise.all([
      runCommand(
        bench,
        ...options,
        '--explainers',
        'oracle,random',
        '--out',
        out,
        '--queue',
        redis.url,
        '--json',
      ),
      runCommand(workerCommand, '--queue', redis.url, '--threads', '1', '--idle', '2'),
    ]);
    expect(measured.code).toBe(0);
    expect(working.out).toBe('2 samples measured\n');
    expect(rows('queued')).toHaveLength(4);
    const text = [
      measured.out,
      measured.log,
      working.log,
      readFileSync(join(out, 'run.json'), 'utf8'),
    ].join();
    expect(text).not.toContain(redis.password);
    expect((await runCommand(queueCommand, '--queue', redis.url, 'status')).out).toBe('no runs\n');
    expect(existsSync(join(out, 'report.html'))).toBe(true);
  });

  it('runs no program that a run asks for and the worker was not allowed', async () => {
    const stop = new AbortController();
    const invocation = { command: 'bench', options: { model: ['llava-tiny'], explainers: ['./mine.mjs'] } };
    const done = distributed('queued', { invocation, signal: stop.signal });
    await expect(runCommand(workerCommand, '--queue', redis.url)).rejects.toThrow(
      'asks for the explainer "./mine.mjs", which is no part of fsyn',
    );
    const shown = await runCommand(queueCommand, '--queue', redis.url, 'status');
    expect(shown.out).toMatch(/16 samples wait, 0 in work by 0 workers[\s\S]*left the run/);
    stop.abort(new Error('enough'));
    await expect(done).rejects.toThrow('enough');
    expect((await runCommand(queueCommand, '--queue', redis.url, 'clear')).out).toBe('1 runs taken off\n');
    await expect(runCommand(bench, '--queue', redis.url, '--shard', '1/2')).rejects.toThrow('--shard');
    await expect(runCommand(queueCommand, '--queue', redis.url, 'stop')).rejects.toThrow('status or clear');
  });
});
