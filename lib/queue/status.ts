import { type Connection, checkQueueName, connectQueue, openQueue } from './connect.js';
import { queueKeys } from './protocol.js';
import { readTickets, removeRun, waitingOf } from './runs.js';

/** How far one run on a queue is. */
export interface RunStatus {
  readonly id: string;
  readonly host: string;
  readonly out: string;
  readonly since: string;
  readonly models: readonly string[];
  readonly datasets: readonly string[];
  /** Samples that were handed out when the run was announced last. */
  readonly jobs: number;
  /** Waiting, those that wait before another attempt included. */
  readonly waiting: number;
  readonly active: number;
  /** Measured, and not collected by the coordinator yet. */
  readonly measured: number;
  /** Given up, and not collected yet. */
  readonly failed: number;
  readonly workers: number;
  /** What workers said that refused the run. */
  readonly refusals: readonly string[];
}

/**
 * What is on a queue.
 *
 * @throws FsynError QUEUE, INVALID_ARGUMENT
 */
export function queueStatus(url: string, name = 'default'): Promise<RunStatus[]> {
  return onQueue(url, name, async (connection) => {
    const found: RunStatus[] = [];
    for (const ticket of await readTickets(connection, name)) {
      const queue = openQueue(connection, name, ticket.id);
      const counts = await queue.getJobCounts();
      const { id, host, out, since, jobs, description } = ticket;
      found.push({
        id,
        host,
        out,
        since,
        jobs,
        models: (description.models ?? []).map((model) => model.name),
        datasets: (description.datasets ?? []).map((dataset) => dataset.name),
        waiting: waitingOf(counts),
        active: counts.active ?? 0,
        measured: counts.completed ?? 0,
        failed: counts.failed ?? 0,
        workers: await queue.getWorkersCount(),
        refusals: await connection.client.lrange(queueKeys(name, id).refusals, 0, -1),
      });
    }
    return found;
  });
}

/**
 * Takes runs off a queue, with what was measured and not collected: all of them, or one.
 *
 * @returns how many
 * @throws FsynError QUEUE, INVALID_ARGUMENT
 */
export function clearQueue(url: string, name = 'default', run?: string): Promise<number> {
  return onQueue(url, name, async (connection) => {
    const tickets = (await readTickets(connection, name)).filter(({ id }) => run === undefined || id === run);
    for (const { id } of tickets) await removeRun(connection, name, id);
    return tickets.length;
  });
}

async function onQueue<T>(
  url: string,
  name: string,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  checkQueueName(name);
  const connection = await connectQueue({ url, onNote: () => {} });
  try {
    return await work(connection);
  } finally {
    connection.close();
  }
}
