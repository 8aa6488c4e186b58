import { clearQueue, queueStatus, type RunStatus } from '../queue/status.js';
import { asUsage, type Command, exitCodes, UsageError } from './command.js';
import { addressOf, queueAddress, queueName } from './queue-options.js';

export const queue: Command = {
  name: 'queue',
  summary: 'show or clear what is on a queue',
  description:
    '`fsyn queue status` shows the runs of a queue, how far they are and who measures; `fsyn queue clear` takes them off,\n' +
    'with rows that no coordinator collected.',
  operand: { name: 'action', value: 'ACTION', help: 'status or clear' },
  options: {
    queue: queueAddress,
    'queue-name': queueName,
    run: { kind: 'string', value: 'ID', help: 'with clear: this run only' },
    json: { kind: 'flag', help: 'with status: print it as JSON' },
  },
  async run(values, io) {
    const action = values.string('action')!;
    if (action !== 'status' && action !== 'clear')
      throw new UsageError(`Expected status or clear but received ${JSON.stringify(action)}.`);
    const [url, name, run] = [addressOf(values), values.string('queue-name')!, values.string('run')];
    if (action === 'clear') {
      const cleared = await asUsage(() => clearQueue(url, name, run));
      if (run !== undefined && cleared === 0) throw new UsageError(`There is no run ${JSON.stringify(run)}.`);
      io.out(`${cleared} runs taken off\n`);
      return exitCodes.ok;
    }
    if (run !== undefined) throw new UsageError('--run belongs to `fsyn queue clear`.');
    const runs = await asUsage(() => queueStatus(url, name));
    if (values.flag('json')) io.out(`${JSON.stringify({ runs })}\n`);
    else io.out(runs.length === 0 ? 'no runs\n' : runs.map(render).join('\n'));
    return exitCodes.ok;
  },
};

function render(run: RunStatus): string {
  const { waiting, active, measured, failed, workers } = run;
  return [
    `run ${run.id} of ${run.host}, ${run.out}, since ${run.since}`,
    `  ${run.models.join(', ')} on ${run.datasets.join(', ')}`,
    `  ${waiting} samples wait, ${active} in work by ${workers} workers, ${measured} measured and ${failed} given up that are not collected, of ${run.jobs}`,
    ...run.refusals.map((text) => `  ${text}`),
    '',
  ].join('\n');
}
