/**
 * Throughput of a served model against the same cells of the opened one, and what the event loop does
 * meanwhile.
 *
 *     npm run build && node dist/bench/micro/served.js [image states]
 *
 * llava-tiny behind `fsyn serve` in a process of its own; image states with all words, which are the same
 * game here and there.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { CellTable } from '../../lib/cells/table.js';
import { embeddedDataset } from '../../lib/datasets/embedded/dataset.js';
import { packageInfo } from '../../lib/package.js';
import { loadModels } from '../../lib/runner/models.js';
import { Random } from '../../lib/statistics/random.js';
import { openServed, servedDefaults } from '../../lib/vlm/served/vlm.js';
import type { PreparedSample } from '../../lib/vlm/types.js';

const states = Number(process.argv[2] ?? 400);

function cellsOf(sample: PreparedSample, seed: number): CellTable {
  const random = new Random(seed);
  const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const words = table.textState(new Uint8Array(table.textPlayers).fill(1));
  while (table.cellCount < states) {
    const share = random.uniform();
    table.cell(
      table.imageState(Array.from({ length: table.imagePlayers }, () => random.uniform() < share)),
      words,
    );
  }
  return table;
}

async function cellsPerSecond(
  sample: PreparedSample,
): Promise<{ rate: number; delay: number; scores: Float64Array }> {
  const table = cellsOf(sample, 1);
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  const start = performance.now();
  const { logProbabilities } = await sample.evaluate(table);
  const seconds = (performance.now() - start) / 1000;
  loop.disable();
  return { rate: states / seconds, delay: loop.percentile(99) / 1e6, scores: logProbabilities };
}

const main = join(packageInfo().root, 'dist/lib/cli/main.js');
const child = spawn(
  process.execPath,
  [main, 'serve', '--model', 'llava-tiny', '--port', '0', '--threads', '1'],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
try {
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const [url] = /http:\S+(?=\/v1)/u.exec(line.toString())!;
  const [native] = await loadModels(['llava-tiny'], { threads: 1 });
  const served = await openServed(`served:${url}/v1#llava-tiny`, {
    ...servedDefaults,
    grid: 8,
    multiple: 8,
    side: 64,
    concurrency: 64,
  });
  const options = {
    families: ['presence'],
    groundings: ['grounded'],
    seed: 5,
    split: 'test',
    size: 1,
  } as const;
  for await (const { question, image } of embeddedDataset(options).samples()) {
    const picture = await image();
    const near = await native.prepare(picture, question);
    // Other cells first: both the opened and the served model remember what they have answered.
    await near.evaluate(cellsOf(near, 2));
    const here = await cellsPerSecond(near);
    const there = await cellsPerSecond(await served.prepare(picture, question));
    const apart = Math.max(...there.scores.map((score, i) => Math.abs(score - here.scores[i])));
    const line = ({ rate, delay }: typeof here) =>
      `${rate.toFixed(0)} cells/s, event loop p99 ${delay.toFixed(1)} ms`;
    console.log(`opened, 1 thread:          ${line(here)}`);
    console.log(`served, 64 at a time:      ${line(there)}`);
    console.log(
      `served / opened: ${(there.rate / here.rate).toFixed(3)}; largest difference ${apart.toExponential(1)} nats; ${states} cells`,
    );
  }
  native.dispose();
} finally {
  child.kill();
}
