import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ndarray from 'ndarray';
import type { Dataset, Sample } from '../../lib/datasets/types.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { distributeOver } from '../../lib/queue/coordinator.js';
import { runWorker } from '../../lib/queue/worker.js';
import { runBenchmark } from '../../lib/runner/run.js';
import type { BenchmarkOptions } from '../../lib/runner/run-options.js';
import { defaultSettings } from '../../lib/runner/settings.js';
import { Random } from '../../lib/statistics/random.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { madeUpSample } from '../reliability/made-up-sample.js';
import { redisProgram, startRedis } from '../reliability/redis-server.js';

// How long four machines take for samples of uneven cost: handed out by a queue, or cut into four shards
// before they start. Machines are made up: a cell takes them a fixed time in which the processor is free, so
// that four of them work at once on any computer; everything else is what `fsyn bench` and `fsyn worker` run.

const machines = 4;
const samples = 96;
const millisecondsPerCell = 5;
const image = ndarray(new Uint8Array(8 * 8 * 3), [8, 8, 3]);

/** Milliseconds spent on cells so far, over all machines. */
let spent = 0;

function machine(factors: readonly number[]): Vlm {
  return {
    name: 'made-up',
    architecture: 'made-up',
    fingerprint: 'made-up',
    dispose() {},
    prepare: async (_, question) => {
      const perCell = millisecondsPerCell * factors[Number(question.split(' ')[3])];
      return madeUpSample(image, question, async (table) => {
        const milliseconds = table.cellCount * perCell;
        spent += milliseconds;
        await new Promise((resolve) => setTimeout(resolve, milliseconds));
        return { logProbabilities: new Float64Array(table.cellCount).fill(-1), tokens: 1, decision: 0 };
      });
    },
  };
}

function dataset(): Dataset {
  return {
    name: 'made-up',
    version: '1',
    size: samples,
    async *samples() {
      for (let i = 0; i < samples; i++)
        yield {
          id: `s${i}`,
          question: `is it number ${i}`,
          answer: 'yes',
          family: 'presence',
          grounding: 'grounded',
          image: async () => image,
        } satisfies Sample;
    },
  };
}

async function compare(name: string, factors: readonly number[], shapleySamples: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fsyn-balance-'));
  const parts = () => ({
    models: [machine(factors)],
    datasets: [dataset()],
    explainers: findExplainers(['random']),
    settings: defaultSettings,
    shapleySamples,
  });
  const timed = async (work: () => Promise<unknown>) => {
    const start = performance.now();
    await work();
    return (performance.now() - start) / 1000;
  };
  const run = (out: string, options: Partial<BenchmarkOptions>) =>
    runBenchmark({ ...parts(), out: join(folder, out), ...options });
  const redis = await startRedis(redisProgram() ?? 'redis-server');
  const stop = new AbortController();
  const open = async () => parts();
  const workers = Array.from({ length: machines }, () =>
    runWorker({ url: redis.url, open, signal: stop.signal }),
  );
  try {
    spent = 0;
    const shards = await timed(() =>
      Promise.all(
        Array.from({ length: machines }, (_, index) =>
          run(`part-${index}`, { shard: { index, count: machines } }),
        ),
      ),
    );
    const best = spent / machines / 1000;
    const queue = await timed(() => run('queue', { distribute: distributeOver({ url: redis.url }) }));
    console.log(
      `${name}: shards ${shards.toFixed(1)} s, queue ${queue.toFixed(1)} s, ratio ${(shards / queue).toFixed(2)}; ` +
        `all machines busy all the time would be ${best.toFixed(1)} s`,
    );
  } finally {
    stop.abort();
    await Promise.all(workers);
    await redis.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

const random = new Random(7);
const equal = Array.from({ length: samples }, () => 1);
const normal = () =>
  Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
const uneven = equal.map(() => Math.exp(normal()));
console.log(`${machines} machines, ${samples} samples, ${millisecondsPerCell} ms a cell`);
await compare('equal samples', equal, 0);
await compare('the exact index on 10 samples', equal, 10);
await compare('costs log-normal, sigma 1', uneven, 0);
