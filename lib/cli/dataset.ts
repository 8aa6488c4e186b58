import { join } from 'node:path';
import { writeDataset } from '../datasets/embedded/files.js';
import { embeddedFamilies, openDatasets } from '../datasets/open.js';
import { type Command, exitCodes } from './command.js';

export const dataset: Command = {
  name: 'dataset',
  summary: 'write an embedded dataset as PNG images and JSON lines',
  description:
    'Writes DIR/samples.jsonl and DIR/images/: to look at the scenes, or as a template for data of your own\n' +
    '(`fsyn bench --dataset DIR/samples.jsonl` reads it).',
  options: {
    dataset: {
      kind: 'string',
      value: 'NAME',
      choices: [...embeddedFamilies.keys()],
      help: `one of ${[...embeddedFamilies.keys()].join(', ')} (required)`,
    },
    limit: { kind: 'integer', value: 'N', minimum: 1, help: 'number of samples', fallback: 40 },
    seed: { kind: 'integer', value: 'S', minimum: 0, help: 'seed of the scenes', fallback: 0 },
    out: { kind: 'string', value: 'DIR', help: 'folder to write (required)' },
  },
  async run(values, io) {
    const name = values.required('dataset');
    const out = values.required('out');
    const [opened] = await openDatasets([name], {
      size: values.number('limit')!,
      limit: values.number('limit')!,
      seed: values.number('seed')!,
    });
    await writeDataset(opened, out, { signal: io.signal });
    io.out(
      `${opened.size} samples in ${out}; next: \`fsyn bench --dataset ${name}=${join(out, 'samples.jsonl')}\`\n`,
    );
    return exitCodes.ok;
  },
};
