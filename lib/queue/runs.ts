import { type Connection, openQueue } from './connect.js';
import { queueKeys, readTicket, type Ticket } from './protocol.js';

/** The runs of a queue, the oldest first. */
export async function readTickets({ client }: Connection, name: string): Promise<Ticket[]> {
  const texts = Object.values(await client.hgetall(queueKeys(name, '').runs));
  const tickets = texts.flatMap((text) => readTicket(text) ?? []);
  return tickets.sort((a, b) => (a.since < b.since ? -1 : a.since > b.since ? 1 : 0));
}

/** Takes a run off the queue. */
export async function removeRun(connection: Connection, name: string, id: string): Promise<void> {
  const { runs, refusals } = queueKeys(name, id);
  await connection.client.hdel(runs, id);
  await connection.client.del(refusals);
  await openQueue(connection, name, id).obliterate({ force: true });
}

/** Jobs that a worker could take now or later. */
export function waitingOf(counts: Readonly<Record<string, number>>): number {
  return ['waiting', 'wait', 'delayed', 'prioritized', 'paused'].reduce(
    (sum, state) => sum + (counts[state] ?? 0),
    0,
  );
}
