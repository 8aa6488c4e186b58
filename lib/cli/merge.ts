import { mergeResults } from '../runner/merge.js';
import { type Command, exitCodes, UsageError } from './command.js';

export const merge: Command = {
  name: 'merge',
  summary: 'put the shards of one run together',
  description: 'Copies the rows of several results folders, made with `fsyn bench --shard`, into a new one.',
  options: {
    from: { kind: 'list', value: 'DIR', help: 'results folders; repeatable or comma-separated (required)' },
    out: { kind: 'string', value: 'DIR', help: 'new results folder (required)' },
  },
  async run(values, io) {
    const folders = values.list('from');
    if (folders.length === 0) throw new UsageError('--from is required.');
    const out = values.required('out');
    const { rows, repeated, damaged } = mergeResults(folders, out, (text) => io.log(`${text}\n`));
    io.out(`${rows} rows in ${out}${repeated > 0 ? `; ${repeated} repeated rows left out` : ''}\n`);
    return damaged > 0 ? exitCodes.failures : exitCodes.ok;
  },
};
