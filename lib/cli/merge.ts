import { renderConsole } from '../report/console.js';
import { readReport } from '../runner/conclude.js';
import { mergeResults } from '../runner/merge.js';
import { type Command, exitCodes, UsageError } from './command.js';

export const merge: Command = {
  name: 'merge',
  summary: 'put the shards of one run together',
  description:
    'Copies the rows of several results folders, made with `fsyn bench --shard`, into a new one, and prints the ranking.',
  options: {
    from: { kind: 'list', value: 'DIR', help: 'results folders; repeatable or comma-separated (required)' },
    out: { kind: 'string', value: 'DIR', help: 'new results folder (required)' },
    seed: { kind: 'integer', value: 'S', minimum: 0, help: 'seed of the resampling', fallback: 0 },
  },
  async run(values, io) {
    const folders = values.list('from');
    if (folders.length === 0) throw new UsageError('--from is required.');
    const out = values.required('out');
    const note = (text: string) => io.log(`${text}\n`);
    const { rows, repeated, damaged } = mergeResults(folders, out, note);
    if (rows > 0) {
      const report = await readReport(out, { seed: values.number('seed')!, signal: io.signal });
      io.out(`${renderConsole(report, io.width)}\n\n`);
    }
    io.out(`${rows} rows in ${out}${repeated > 0 ? `; ${repeated} repeated rows left out` : ''}\n`);
    if (damaged > 0)
      io.out(
        `${damaged} lines were no rows: \`fsyn bench --config ${out}/run.json --resume --out ${out}\` measures them again\n`,
      );
    io.out(`Next: \`fsyn report ${out}\` writes the page with charts and samples\n`);
    return damaged > 0 ? exitCodes.failures : exitCodes.ok;
  },
};
