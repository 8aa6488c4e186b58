import { hostname } from 'node:os';
import type { Job, Worker } from 'bullmq';
import { FsynError, reasonOf } from '../errors.js';
import { closeExplainers } from '../explainers/module.js';
import { resolveOptions } from '../options.js';
import {
  attempt,
  type Connection,
  checkQueueName,
  connectQueue,
  openQueue,
  orAborted,
  pause,
} from './connect.js';
import { MeasuredRun, type OpenedRun } from './measured-run.js';
import { protocolVersion, queueKeys, type Ticket } from './protocol.js';
import { readTickets, waitingOf } from './runs.js';

export interface WorkerOptions {
  /** As a coordinator's. */
  readonly url: string;
  readonly name: string;
  /** Opens a run's models, data and explainers on this machine; what they are is checked afterwards. */
  readonly open: (ticket: Ticket, signal: AbortSignal | undefined) => Promise<OpenedRun>;
  /**
   * Seconds after which a worker that was not heard of is taken for dead, and its sample given to another, >=
   * 1. The same for all workers of a queue.
   */
  readonly lock: number;
  /** Most samples a minute that all workers begin together; undefined: as many as there are. */
  readonly rate: number | undefined;
  /** Seconds without a sample after which it ends; undefined: never. */
  readonly idle: number | undefined;
  readonly onNote: (text: string) => void;
  /** Hears of every sample that was measured. */
  readonly onSample: (done: number, model: string, dataset: string) => void;
  /** Aborted, it finishes the sample in work and ends. */
  readonly signal: AbortSignal | undefined;
}

const defaults: Omit<WorkerOptions, 'open'> = {
  url: '',
  name: 'default',
  lock: 30,
  rate: undefined,
  idle: undefined,
  onNote: () => {},
  onSample: () => {},
  signal: undefined,
};

export interface WorkerOutcome {
  /** Samples that were measured and taken. */
  readonly samples: number;
}

/**
 * Measures samples for the runs of a queue, the oldest first, until it is aborted or idle. Models are loaded
 * once per run.
 *
 * @throws FsynError QUEUE when the server cannot be reached, or when this machine's models, data, explainers
 *   or code are not the run's: it then takes no job; BUDGET when a sample does not fit into its memory
 */
export async function runWorker(options: Partial<WorkerOptions>): Promise<WorkerOutcome> {
  const open: WorkerOptions['open'] = async () => {
    throw new FsynError('INVALID_ARGUMENT', 'Expected a function for open but received none.');
  };
  const settings = resolveOptions<WorkerOptions>('runWorker', { ...defaults, open }, options);
  checkQueueName(settings.name);
  const connection = await connectQueue(settings);
  const worker = new QueueWorker(settings, connection);
  try {
    await worker.work();
  } catch (error) {
    if (!settings.signal?.aborted) throw error;
  } finally {
    connection.close();
  }
  return { samples: worker.samples };
}

class QueueWorker {
  samples = 0;
  readonly #settings: WorkerOptions;
  readonly #connection: Connection;
  #busy = performance.now();

  constructor(settings: WorkerOptions, connection: Connection) {
    this.#settings = settings;
    this.#connection = connection;
  }

  async work(): Promise<void> {
    const { signal } = this.#settings;
    while (!signal?.aborted && !this.#isIdle()) {
      const ticket = await this.#next();
      if (ticket) await this.#serve(ticket);
      else await pause(500, signal);
    }
  }

  #isIdle(): boolean {
    const { idle } = this.#settings;
    return idle !== undefined && performance.now() - this.#busy > 1000 * idle;
  }

  /**
   * The oldest run that has a sample to measure, or one in work, which comes back if its worker dies; those
   * that wait come first.
   */
  async #next(): Promise<Ticket | undefined> {
    const { name, signal } = this.#settings;
    let inWork: Ticket | undefined;
    for (const ticket of await orAborted(readTickets(this.#connection, name), signal)) {
      const counts = await orAborted(openQueue(this.#connection, name, ticket.id).getJobCounts(), signal);
      if (waitingOf(counts) > 0) return ticket;
      if ((counts.active ?? 0) > 0) inWork ??= ticket;
    }
    return inWork;
  }

  async #serve(ticket: Ticket): Promise<void> {
    const { signal, onNote } = this.#settings;
    let opened: OpenedRun | undefined;
    try {
      opened = await this.#open(ticket);
      const run = new MeasuredRun(opened, ticket);
      onNote(`Measures for the run ${ticket.id} of ${ticket.host} (${ticket.out}).`);
      this.#busy = performance.now();
      await this.#take(ticket, run);
    } catch (error) {
      if (!signal?.aborted) await this.#refuse(ticket, error);
      throw error;
    } finally {
      if (opened) {
        await closeExplainers(opened.explainers);
        for (const model of opened.models) model.dispose();
      }
    }
  }

  async #open(ticket: Ticket): Promise<OpenedRun> {
    if (ticket.protocol !== protocolVersion)
      throw new FsynError(
        'QUEUE',
        `The run ${ticket.id} was announced by another version of fsyn (protocol ${ticket.protocol}, this is ${protocolVersion}).`,
      );
    return await this.#settings.open(ticket, this.#settings.signal);
  }

  /** Says on the queue why this worker does not measure for a run, so that its coordinator says it, too. */
  async #refuse({ id }: Ticket, error: unknown): Promise<void> {
    const text = `The worker ${hostname()}:${process.pid} left the run: ${reasonOf(error)}`;
    const { refusals } = queueKeys(this.#settings.name, id);
    const { client } = this.#connection;
    await attempt(() => client.multi().rpush(refusals, text).expire(refusals, 86_400).exec());
  }

  /** Takes jobs until the run has none, another run waits, or this worker is to stop. */
  async #take(ticket: Ticket, run: MeasuredRun): Promise<void> {
    const { name, lock, rate, onNote, onSample } = this.#settings;
    const { engine, client } = this.#connection;
    const { queue, prefix } = queueKeys(name, ticket.id);
    let refusal: unknown;
    const worker: Worker = new engine.Worker(
      queue,
      async (job: Job, token?: string) => {
        try {
          return await run.measure(job.id ?? '', job.data);
        } catch (error) {
          if (!isRefusal(error)) throw error;
          // Another worker may do better.
          refusal = error;
          await worker.pause(true);
          await job.moveToWait(token);
          throw new engine.WaitingError();
        }
      },
      {
        connection: client,
        prefix,
        name: `${hostname()}:${process.pid}`,
        lockDuration: 1000 * lock,
        stalledInterval: Math.min(500 * lock, 15_000),
        // A sample that takes three workers with it is at fault itself.
        maxStalledCount: 2,
        drainDelay: 1,
        ...(rate === undefined ? {} : { limiter: { max: rate, duration: 60_000 } }),
      },
    );
    worker.on('completed', ({ data }) => {
      this.samples++;
      this.#busy = performance.now();
      onSample(this.samples, data.model, data.dataset);
    });
    worker.on('failed', (job, error) => {
      onNote(`A sample failed (${job?.data?.sample ?? 'unknown'}): ${reasonOf(error)}`);
    });
    worker.on('stalled', () => onNote('A worker was not heard of any more; its sample is measured again.'));
    worker.on('error', (error) => {
      if (/lock/i.test(reasonOf(error)))
        onNote(`A sample was given to another worker, because this one was not heard of: ${reasonOf(error)}`);
    });
    try {
      await this.#watch(ticket, () => refusal !== undefined);
    } finally {
      // Waits for the sample in work.
      await worker.close();
    }
    if (refusal !== undefined) throw refusal;
  }

  async #watch(ticket: Ticket, isRefused: () => boolean): Promise<void> {
    const { name, signal } = this.#settings;
    const queue = openQueue(this.#connection, name, ticket.id);
    const { runs } = queueKeys(name, ticket.id);
    while (!signal?.aborted && !isRefused()) {
      await pause(300, signal);
      const counts = await orAborted(queue.getJobCounts(), signal);
      if ((counts.active ?? 0) > 0) this.#busy = performance.now();
      if ((await orAborted(this.#connection.client.hexists(runs, ticket.id), signal)) === 0) return;
      if (this.#isIdle()) return;
      if (waitingOf(counts) > 0) continue;
      const next = await this.#next();
      // What is active here may come back; without it this worker is free for another run.
      if ((counts.active ?? 0) === 0 && next && next.id !== ticket.id) return;
    }
  }
}

/** What says that this worker cannot measure here, and not that the sample is at fault. */
function isRefusal(error: unknown): boolean {
  return error instanceof FsynError && (error.code === 'QUEUE' || error.code === 'BUDGET');
}
