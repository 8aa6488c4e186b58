import type * as bullmq from 'bullmq';
import type { Redis } from 'ioredis';
import { FsynError, reasonOf } from '../errors.js';
import { parseAddress } from './address.js';
import { queueKeys } from './protocol.js';

/** An open connection to a queue's server, and the engine on it. */
export interface Connection {
  readonly engine: typeof bullmq;
  readonly client: Redis;
  readonly shown: string;
  /** Queues that are open on it, by the engine's name. */
  readonly queues: Map<string, bullmq.Queue>;
  /** How often the server came back after it was away. */
  readonly returns: () => number;
  close(): void;
}

export interface ConnectOptions {
  readonly url: string;
  /** Hears that the server is away, and that it is back. */
  readonly onNote: (text: string) => void;
}

/** A name of a queue. @throws FsynError INVALID_ARGUMENT */
export function checkQueueName(name: string): void {
  if (!/^[\w.-]{1,64}$/.test(name))
    throw new FsynError(
      'INVALID_ARGUMENT',
      `Expected letters, digits, dots, dashes and underscores as the name of a queue but received ${JSON.stringify(name)}.`,
    );
}

/**
 * Connects to a queue. A server that goes away later is waited for; one that is not there at the start is an
 * error.
 *
 * @throws FsynError QUEUE when the engine is not installed, or the server cannot be reached or refuses;
 *   INVALID_ARGUMENT for an address that is none
 */
export async function connectQueue({ url, onNote }: ConnectOptions): Promise<Connection> {
  const { driver, shown } = parseAddress(url);
  const { engine, Client } = await loadEngine();
  const queues = new Map<string, bullmq.Queue>();
  const client = new Client({
    ...driver,
    lazyConnect: true,
    connectTimeout: 10_000,
    // A command waits until the server is back.
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), 2000),
  });
  let [away, returns, last] = [false, 0, ''];
  // Every failed attempt to connect again is an error; people want to hear of the first.
  client.on('error', (error) => {
    last = reasonOf(error);
  });
  try {
    await client.connect();
    await client.ping();
  } catch (error) {
    client.disconnect();
    throw new FsynError('QUEUE', `Cannot reach the queue at ${shown}: ${last || reasonOf(error)}.`);
  }
  client.on('close', () => {
    if (!away) onNote(`The queue at ${shown} is away; waiting for it.`);
    away = true;
  });
  client.on('ready', () => {
    if (away) onNote(`The queue at ${shown} is back.`);
    away = false;
    returns++;
  });
  return {
    engine,
    client,
    shown,
    queues,
    returns: () => returns,
    close: () => {
      away = true;
      for (const queue of queues.values()) queue.close().catch(() => {});
      client.disconnect();
    },
  };
}

/** The engine's queue of a run; its errors are the connection's, which are told of there. */
export function openQueue({ engine, client, queues }: Connection, name: string, run: string): bullmq.Queue {
  const { prefix, queue } = queueKeys(name, run);
  const opened = queues.get(queue) ?? new engine.Queue(queue, { connection: client, prefix });
  if (!queues.has(queue)) opened.on('error', () => {});
  queues.set(queue, opened);
  return opened;
}

async function loadEngine(): Promise<{ engine: typeof bullmq; Client: typeof Redis }> {
  try {
    const [engine, driver] = await Promise.all([import('bullmq'), import('ioredis')]);
    return { engine, Client: driver.Redis };
  } catch (cause) {
    throw new FsynError(
      'QUEUE',
      'Queues need two packages that are not installed with fsyn: `npm install bullmq@6 ioredis@5`.',
      { cause },
    );
  }
}

/** A promise, or the signal's reason as soon as it is aborted: the server may be away for long. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Waits, or until the signal is aborted; never rejects. */
export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    if (signal?.aborted) done();
    else signal?.addEventListener('abort', done, { once: true });
  });
}

/** Tries some work that is good to have done, for a while: the server may be away. */
export function attempt(work: () => Promise<unknown>, milliseconds = 3000): Promise<void> {
  const tried = work().then(
    () => {},
    () => {},
  );
  return Promise.race([tried, pause(milliseconds, undefined)]);
}
