/**
 * How long an aborted evaluation takes to stop:
 * `npm run bench:abort -- [--model DIR] [--rounds N] [--threads N] [--json]`.
 *
 * Every round starts the cells of one explanation's metrics afresh, aborts them at a moment drawn over the
 * time that they take, and measures from `abort()` to the rejection of the promise. A run ends between two
 * kernels, so the target is 50 ms plus the longest kernel; the time of one suffix run is printed beside the
 * latencies as an upper bound of that.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import ndarray from 'ndarray';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { requestFaithfulness } from '../../lib/metrics/faithfulness.js';
import { packageInfo } from '../../lib/package.js';
import { quantile } from '../../lib/statistics/bootstrap.js';
import { Random } from '../../lib/statistics/random.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    rounds: { type: 'string', default: '40' },
    threads: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'boolean', default: false },
  },
});
const model = values.model ?? join(packageInfo().root, 'bench', 'models', 'llava-tiny', 'model');
const threads = Number(values.threads);
const vlm = await loadVlm(model, { threads });
const pixels = new Uint8Array(336 * 336 * 3).map((_, i) => (((i * 7) % 251) ^ (i >> 8)) & 255);
const sample = (await vlm.prepare(
  ndarray(pixels, [336, 336, 3]),
  'Is there a small red circle in the picture?',
  {
    answer: 'yes',
  },
)) as DecoderSample;
const random = new Random(1);
const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
requestFaithfulness(cells, {
  image: Float64Array.from(random.permutation(cells.imagePlayers)),
  text: Float64Array.from(random.permutation(cells.textPlayers)),
});

const fresh = () => CoalitionEvaluator.create(sample.program(), { workers: threads, cacheMemory: 1 });
const start = performance.now();
const { execution } = await (await fresh()).evaluate(cells);
const whole = performance.now() - start;
const { seconds, suffixRuns } = execution!;
const latencies: number[] = [];
for (let round = 0; latencies.length < Number(values.rounds) && round < 4 * Number(values.rounds); round++) {
  const evaluator = await fresh();
  const controller = new AbortController();
  let aborted = 0;
  setTimeout(() => {
    aborted = performance.now();
    controller.abort();
  }, random.uniform() * whole);
  await evaluator.evaluate(cells, { signal: controller.signal }).catch(() => {
    latencies.push(performance.now() - aborted);
  });
  controller.abort();
}
latencies.sort((a, b) => a - b);
const sorted = Float64Array.from(latencies);
const report = {
  model: basename(model) === 'model' ? basename(join(model, '..')) : basename(model),
  machine: `${cpus()[0]?.model.trim()}, ${threads} threads, load ${loadavg()[0].toFixed(1)}`,
  rounds: latencies.length,
  evaluationMs: whole,
  suffixRunMs: (1000 * seconds.suffix) / suffixRuns,
  latencyMs: { median: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), max: sorted.at(-1)! },
};
if (values.json) console.log(JSON.stringify(report, null, 2));
else {
  const f = (value: number) => value.toFixed(1);
  const { median, p95, max } = report.latencyMs;
  console.log(`${report.model} on ${report.machine}: ${report.rounds} aborts of ${cells.cellCount} cells`);
  console.log(`whole evaluation  ${f(report.evaluationMs)} ms, one suffix run ${f(report.suffixRunMs)} ms`);
  console.log(`abort to rejection  median ${f(median)} ms, 95 % ${f(p95)} ms, most ${f(max)} ms`);
}
vlm.dispose();
