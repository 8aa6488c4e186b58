/**
 * Whether memory stays flat over many evaluations:
 * `node --expose-gc dist/bench/reliability/evaluations-memory.js [--evaluations N]`.
 *
 * One model; every evaluation prepares a sample of its own, scores the cells of three random attributions
 * (all metrics) and lets go of both. Resident memory after a garbage collection, each a median of the
 * evaluations of a tenth: the last tenth may be above the second (the first fills caches) by 4 %, which is
 * what an allocator moves about. Exit code 1 otherwise.
 */
import { parseArgs } from 'node:util';
import { formatBytes } from '../../lib/bytes.js';
import { openDatasets } from '../../lib/datasets/open.js';
import type { Sample } from '../../lib/datasets/types.js';
import { evaluate } from '../../lib/measure/evaluate.js';
import { loadModels } from '../../lib/runner/models.js';
import { quantile } from '../../lib/statistics/bootstrap.js';
import { Random } from '../../lib/statistics/random.js';

const { values } = parseArgs({
  options: {
    evaluations: { type: 'string', default: '2000' },
    model: { type: 'string', default: 'llava-tiny' },
  },
});
const evaluations = Number(values.evaluations);
const collect = (globalThis as { gc?: () => void }).gc;
if (!collect) throw new Error('Run with node --expose-gc.');
const [model] = await loadModels([values.model]);
const [dataset] = await openDatasets(['presence'], { size: 40 });
const samples: Sample[] = [];
for await (const sample of dataset.samples()) samples.push(sample);
const random = new Random(1);
const resident: number[] = [];
const start = performance.now();
for (let i = 0; i < evaluations; i++) {
  const { image, question } = samples[i % samples.length];
  const prepared = await model.prepare(await image(), question, { answer: 'yes' });
  const draw = (players: number) => Float64Array.from({ length: players }, () => random.uniform());
  const attributions = Array.from({ length: 3 }, () => ({
    image: draw(prepared.imagePlayers.count),
    text: draw(prepared.textPlayers.count),
  }));
  await evaluate(prepared, attributions);
  if (i % 5 === 0) {
    collect();
    resident.push(process.memoryUsage.rss());
  }
  if ((i + 1) % Math.ceil(evaluations / 10) === 0)
    console.error(`${i + 1} evaluations, ${formatBytes(resident.at(-1)!)} resident`);
}
model.dispose();
const tenth = Math.floor(resident.length / 10);
const medians = Array.from({ length: 10 }, (_, i) =>
  quantile(Float64Array.from(resident.slice(i * tenth, (i + 1) * tenth)).sort(), 0.5),
);
const growth = medians[9] / medians[1] - 1;
console.log(
  `${evaluations} evaluations of ${values.model} in ${((performance.now() - start) / 1000).toFixed(0)} s; ` +
    `resident by tenths: ${medians.map(formatBytes).join(', ')}`,
);
console.log(`last tenth against the second: ${(100 * growth).toFixed(1)} %`);
process.exitCode = growth < 0.04 ? 0 : 1;
