/**
 * Writes samples of the embedded suite as PNG and JSONL:
 *   node dist/bench/models/training/write-samples.js --out FOLDER [--size 200] [--seed 1] [--split test]
 *     [--families presence,relation,counting,choice] [--groundings grounded,text-prior,image-prior]
 */
import { parseArgs } from 'node:util';
import { embeddedDataset } from '../../../lib/datasets/embedded/dataset.js';
import { writeDataset } from '../../../lib/datasets/embedded/files.js';
import type { Family } from '../../../lib/datasets/embedded/questions.js';
import type { Split } from '../../../lib/datasets/embedded/scene.js';
import type { Grounding } from '../../../lib/datasets/types.js';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    size: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    split: { type: 'string', default: 'test' },
    families: { type: 'string', default: 'presence,relation,counting,choice' },
    groundings: { type: 'string', default: 'grounded' },
  },
});
if (values.out === undefined) throw new Error('--out FOLDER is required');
const dataset = embeddedDataset({
  size: Number(values.size),
  seed: Number(values.seed),
  split: values.split as Split,
  families: values.families.split(',') as Family[],
  groundings: values.groundings.split(',') as Grounding[],
});
await writeDataset(dataset, values.out);
console.log(`${dataset.size} samples of ${dataset.name} ${dataset.version} in ${values.out}`);
