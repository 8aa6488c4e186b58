/**
 * Writes held-out questions of the twins as PNG and JSON Lines, two of every kind, whose ground truth is the
 * object or the shortcut:
 *   node dist/bench/twins/write-samples.js --out FOLDER [--size 2] [--seed 1] [--follows object]
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeDataset } from '../../lib/datasets/embedded/files.js';
import { twinDataset } from './dataset.js';
import { SHORTCUTS } from './scenes.js';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    size: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    follows: { type: 'string', default: 'object' },
  },
});
if (values.out === undefined) throw new Error('--out FOLDER is required');
if (values.follows !== 'object' && values.follows !== 'shortcut')
  throw new Error('--follows is object or shortcut');
for (const kind of SHORTCUTS) {
  const [size, seed] = [Number(values.size), Number(values.seed)];
  const dataset = twinDataset({ kind, size, seed, agreeing: false, follows: values.follows });
  await writeDataset(dataset, join(values.out, kind));
}
