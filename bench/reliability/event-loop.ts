/**
 * How long the event loop waits during a benchmark:
 * `node dist/bench/reliability/event-loop.js [--samples N]`.
 *
 * The whole of `runBenchmark` and the report run in this process, on all cores, for every embedded model,
 * dataset and explainer; a timer of 1 ms beside it says how late it is (its own millisecond taken off). Exit
 * code 1 where the 99th percentile reaches 10 ms; the numbers mean something on a quiet machine only, whose
 * load is printed with them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { chooseBenchmark } from '../../lib/runner/choose.js';
import { concludeBenchmark } from '../../lib/runner/conclude.js';
import { embeddedModels, loadModels } from '../../lib/runner/models.js';
import { runBenchmark } from '../../lib/runner/run.js';

const { values } = parseArgs({ options: { samples: { type: 'string', default: '6' } } });
const resolution = 1;
const bound = 10;
const out = mkdtempSync(join(tmpdir(), 'fsyn-event-loop-'));

interface Phase {
  readonly name: string;
  readonly seconds: number;
  /** Milliseconds that the event loop was late. */
  readonly median: number;
  readonly p99: number;
  readonly most: number;
}
const phases: Phase[] = [];

async function watched<T>(name: string, work: () => Promise<T>): Promise<T> {
  const histogram = monitorEventLoopDelay({ resolution });
  const start = performance.now();
  histogram.enable();
  const result = await work();
  histogram.disable();
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolution);
  phases.push({
    name,
    seconds: (performance.now() - start) / 1000,
    median: late(histogram.percentile(50)),
    p99: late(histogram.percentile(99)),
    most: late(histogram.max),
  });
  return result;
}

try {
  const models = await watched('load models', () => loadModels([...embeddedModels().keys()]));
  const chosen = await chooseBenchmark({ limit: Number(values.samples) });
  const outcome = await watched('run', () => runBenchmark({ ...chosen, models, out, gallerySamples: 3 }));
  await watched('report', () => concludeBenchmark(out, outcome));
  for (const model of models) model.dispose();
  const load = loadavg()[0].toFixed(1);
  console.log(
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, load ${load}, Node ${process.version}; ` +
      `${outcome.keys.size} rows, ${outcome.cells} cells`,
  );
  for (const { name, seconds, median, p99, most } of phases)
    console.log(
      `${name.padEnd(12)} ${seconds.toFixed(1).padStart(6)} s   late by: median ${median.toFixed(1)} ms, 99 % ${p99.toFixed(1)} ms, most ${most.toFixed(0)} ms`,
    );
  const run = phases.find(({ name }) => name === 'run')!;
  process.exitCode = run.p99 < bound ? 0 : 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
