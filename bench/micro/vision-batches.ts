// What encoding image states one by one costs where a graph cannot take several at once
// (`one-image-per-run`), against batches of the size that the planner would choose, right or wrong: both in
// one process, in turns.
//
//   node dist/bench/micro/vision-batches.js [--rounds 5]
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { addon } from '../../lib/addon/addon.js';
import { runJob } from '../../lib/addon/job.js';
import { CellTable } from '../../lib/cells/table.js';
import { EMBEDDED_MASKING, embeddedDataset } from '../../lib/datasets/embedded/dataset.js';
import { defaultBudget } from '../../lib/inference/evaluator.js';
import { choosePath } from '../../lib/inference/path.js';
import { createNativeProgram } from '../../lib/inference/program.js';
import { makeSchedule } from '../../lib/inference/schedule.js';
import { modelSizes } from '../../lib/inference/sizes.js';
import { embeddedModels } from '../../lib/runner/models.js';
import { quantile } from '../../lib/statistics/bootstrap.js';
import { Random } from '../../lib/statistics/random.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });

function randomCells(sample: DecoderSample, images: number, texts: number): CellTable {
  const random = new Random(7);
  const bits = (players: number) => Array.from({ length: players }, () => random.uniform() < 0.5);
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  for (let i = 0; i < images; i++) {
    const image = cells.imageState(bits(cells.imagePlayers));
    for (let t = 0; t < texts; t++) cells.cell(image, cells.textState(bits(cells.textPlayers)));
  }
  return cells;
}

async function compare(sample: DecoderSample, images: number, texts: number): Promise<string> {
  const program = sample.program();
  const { mode } = await choosePath(program);
  const cells = randomCells(sample, images, texts);
  const wanted = Int32Array.from({ length: cells.cellCount }, (_, cell) => cell);
  const schedules = (['together', 'one by one'] as const).map((way) =>
    makeSchedule(program, cells, wanted, {
      mode,
      fallbacks: way === 'together' ? [] : [{ code: 'one-image-per-run', reason: 'measured' }],
      workers: 1,
      memory: defaultBudget(),
      shares: availableParallelism(),
      sizes: modelSizes(program),
    }),
  );
  const native = createNativeProgram(program, mode);
  const seconds: number[][] = [[], []];
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const [way, schedule] of schedules.entries()) {
      const start = performance.now();
      await runJob(() => addon().evaluateCoalitions(native, schedule.native));
      // The first round fills arenas.
      if (round > 0) seconds[way]!.push((performance.now() - start) / 1000);
    }
  }
  const [together, alone] = seconds.map((list) => quantile(Float64Array.from(list).sort(), 0.5)) as [
    number,
    number,
  ];
  const batch = schedules[0]!.batches.vision;
  return `${images} x ${texts} states: ${alone.toFixed(3)} s one by one, ${together.toFixed(3)} s by ${batch}, ratio ${(alone / together).toFixed(2)}`;
}

for (const [name, directory] of embeddedModels()) {
  const vlm = await loadVlm(directory);
  for await (const { image, question, instruction, choices } of embeddedDataset({
    size: 1,
    split: 'test',
  }).samples()) {
    const sample = await vlm.prepare(await image(), question, { ...EMBEDDED_MASKING, instruction, choices });
    for (const [images, texts] of [
      [20, 4],
      [64, 4],
      [256, 1],
    ] as const) {
      console.log(`${name}, ${await compare(sample as DecoderSample, images, texts)}`);
    }
  }
  vlm.dispose();
}
