import type { OptionSpec, OptionValues } from './command.js';
import { UsageError } from './command.js';

export const queueForms = 'redis://[USER:PASSWORD@]HOST[:PORT], rediss:// or unix:///PATH.sock';

const variable = 'FSYN_QUEUE';

/** Where the queue is, for commands that have no use without one. */
export const queueAddress = {
  kind: 'string',
  value: 'URL',
  help: `address of the queue, ${queueForms} (default: ${variable} in the environment; the password may be in ${variable}_PASSWORD)`,
} satisfies OptionSpec;

export const queueName = {
  kind: 'string',
  transient: true,
  value: 'NAME',
  help: 'name of the queue, where one server has several',
  fallback: 'default',
} satisfies OptionSpec;

/** @throws UsageError where neither option nor environment say it */
export function addressOf(values: OptionValues): string {
  const url = values.string('queue') ?? process.env[variable];
  if (url === undefined || url === '')
    throw new UsageError(`--queue is required, or ${variable} in the environment.`);
  return url;
}
