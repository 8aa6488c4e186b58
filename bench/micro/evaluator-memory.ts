/**
 * What scoring takes beside the model's weights, against what its plan promised:
 * `npm run bench:memory -- [--model DIR ...]`. Linux only.
 *
 * Every line is a process of its own: it loads the model, notes its resident memory, scores some cells and
 * reads the largest resident memory that it had. The C library is told to give freed memory back at once,
 * because what is left over from loading would be used again and hide a part of the peak. Without --model:
 * the embedded models.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import ndarray from 'ndarray';
import { formatBytes } from '../../lib/bytes.js';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { packageInfo } from '../../lib/package.js';
import { Random } from '../../lib/statistics/random.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';

interface Measured {
  readonly planned: number;
  readonly peak: number;
  readonly batches: string;
}

type Sharing = 'auto' | 'none';

/** Image states, text states and sharing: one cell, an explanation, one full batch, full passes. */
const cases: readonly (readonly [number, number, Sharing])[] = [
  [1, 1, 'auto'],
  [12, 8, 'auto'],
  [1, 64, 'auto'],
  [3, 8, 'none'],
];

async function measure(model: string, images: number, texts: number, sharing: Sharing): Promise<Measured> {
  const vlm = await loadVlm(model, { threads: 1 });
  // What loading left behind is given back by and by, some of it on other threads.
  for (let round = 0; round < 5; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  writeFileSync('/proc/self/clear_refs', '5');
  const before = memory('VmRSS');
  const pixels = new Uint8Array(224 * 224 * 3).map((_, i) => (i * 7919) % 251);
  const question = 'Is the red circle left of the blue square?';
  const sample = (await vlm.prepare(ndarray(pixels, [224, 224, 3]), question, {
    answer: 'yes',
  })) as DecoderSample;
  const evaluator = await CoalitionEvaluator.create(sample.program(), { workers: 1, sharing });
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const random = new Random(1);
  const states = (count: number, players: number) =>
    Array.from({ length: count }, () => Array.from({ length: players }, () => random.integer(2) === 1));
  const seen = states(images, cells.imagePlayers);
  const read = states(texts, cells.textPlayers);
  for (const image of seen)
    for (const text of read) cells.cell(cells.imageState(image), cells.textState(text));
  const { plan } = await evaluator.evaluate(cells);
  const { vision, prefix, suffix } = plan.batches;
  vlm.dispose();
  return {
    planned: plan.bytes.peak,
    peak: memory('VmHWM') - before,
    batches: `${vision}/${prefix}/${suffix}`,
  };
}

function memory(key: 'VmRSS' | 'VmHWM'): number {
  const [, kilobytes] = new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return 1024 * Number(kilobytes);
}

const { values } = parseArgs({
  options: { model: { type: 'string', multiple: true }, one: { type: 'string' } },
});
if (values.one !== undefined) {
  const [model, images, texts, sharing] = JSON.parse(values.one) as [string, number, number, Sharing];
  process.stdout.write(JSON.stringify(await measure(model, images, texts, sharing)));
} else {
  const root = join(packageInfo().root, 'bench', 'models');
  const embedded = ['llava-tiny', 'internvl-tiny', 'qwen2_5_vl-tiny'].map((name) =>
    join(root, name, 'model'),
  );
  console.log('model             image x text states  sharing  batches    planned       peak  ratio');
  for (const model of values.model ?? embedded) {
    for (const [images, texts, sharing] of cases) {
      const argument = JSON.stringify([model, images, texts, sharing]);
      const env = {
        ...process.env,
        MALLOC_TRIM_THRESHOLD_: '0',
        MALLOC_MMAP_THRESHOLD_: '65536',
        MALLOC_ARENA_MAX: '1',
      };
      const file = fileURLToPath(import.meta.url);
      const text = execFileSync(process.execPath, ['--expose-gc', file, '--one', argument], { env });
      const { planned, peak, batches } = JSON.parse(text.toString()) as Measured;
      const name = basename(model) === 'model' ? basename(dirname(model)) : basename(model);
      console.log(
        [
          name.padEnd(17),
          `${images} x ${texts}`.padStart(19),
          sharing.padStart(8),
          batches.padStart(8),
          formatBytes(planned).padStart(10),
          formatBytes(peak).padStart(10),
          (planned / peak).toFixed(2).padStart(6),
        ].join(' '),
      );
    }
  }
}
