import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Job, Queue } from 'bullmq';
import { checkInteger } from '../checks.js';
import { FsynError, reasonOf } from '../errors.js';
import { resolveOptions } from '../options.js';
import type { BenchmarkRecord } from '../report/record.js';
import { checkRecord } from '../report/record-check.js';
import type { Distribute, DistributedJob, Distribution } from '../runner/distribute.js';
import type { JobOutcome } from '../runner/sample-job.js';
import { failedRow } from '../runner/sample-run.js';
import { parseAddress } from './address.js';
import {
  attempt,
  type Connection,
  checkQueueName,
  connectQueue,
  openQueue,
  orAborted,
  pause,
} from './connect.js';
import { type JobData, protocolVersion, queueKeys, runId, type Ticket } from './protocol.js';
import { removeRun, waitingOf } from './runs.js';

export interface QueueOptions {
  /** `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://...` or `unix:///PATH.sock`. */
  readonly url: string;
  /** Name of the queue on that server: letters, digits, dots, dashes. */
  readonly name: string;
  /** How often a sample is tried whose worker reports an error, >= 1. */
  readonly attempts: number;
  /** Milliseconds before the second try; they double from try to try. */
  readonly backOff: number;
}

const defaults: QueueOptions = { url: '', name: 'default', attempts: 3, backOff: 1000 };

/**
 * Has a run measured by the workers of a queue, for `runBenchmark`'s `distribute`: one job per sample and
 * model, so that explainers share cells as in a run on one machine. Rows come back through the queue, into
 * the coordinator's folder.
 *
 * A job leaves the queue after its rows are on the coordinator's disk, and jobs that the server lost are
 * handed out again, so that neither a killed worker nor a killed server or coordinator loses or doubles a
 * row.
 *
 * @throws FsynError QUEUE when the server cannot be reached, INVALID_ARGUMENT
 */
export function distributeOver(options: Partial<QueueOptions>): Distribute {
  const settings = resolveOptions('distributeOver', defaults, options);
  checkQueueName(settings.name);
  checkInteger('attempts', settings.attempts, 1);
  // Mistakes are told before models are loaded.
  parseAddress(settings.url);
  return async (distribution) => {
    const { url, name } = settings;
    const connection = await connectQueue({ url, onNote: distribution.onNote });
    const coordinator = new Coordinator(distribution, settings, connection);
    try {
      await coordinator.work();
      await attempt(() => removeRun(connection, name, coordinator.id), 10_000);
    } catch (error) {
      // Nobody waits for these any more. What is measured already stays for a coordinator that resumes.
      await attempt(() => coordinator.queue.drain(true));
      throw error;
    } finally {
      connection.close();
    }
  };
}

const pageSize = 16;
const listSize = 500;

class Coordinator {
  readonly id: string;
  readonly queue: Queue;
  readonly #distribution: Distribution;
  readonly #settings: QueueOptions;
  readonly #connection: Connection;
  readonly #pending: Map<string, DistributedJob>;
  readonly #ticket: Ticket;
  #returns: number;
  #refusals = 0;
  #lonely = performance.now();

  constructor(distribution: Distribution, settings: QueueOptions, connection: Connection) {
    const { description, gallerySamples, jobs } = distribution;
    const out = resolve(distribution.out);
    this.id = runId(description, hostname(), out);
    this.queue = openQueue(connection, settings.name, this.id);
    this.#distribution = distribution;
    this.#settings = settings;
    this.#connection = connection;
    this.#returns = connection.returns();
    this.#pending = new Map(jobs.map((one) => [one.job.id, one]));
    this.#ticket = {
      protocol: protocolVersion,
      id: this.id,
      description,
      gallerySamples,
      jobs: jobs.length,
      host: hostname(),
      out,
      since: new Date().toISOString(),
    };
  }

  async work(): Promise<void> {
    const { signal } = this.#distribution;
    if (this.#pending.size === 0) return;
    await orAborted(this.#connection.client.del(queueKeys(this.#settings.name, this.id).refusals), signal);
    await this.#handOut();
    for (let looked = 0; this.#pending.size > 0; ) {
      signal?.throwIfAborted();
      const collected = (await this.#collect('completed')) + (await this.#collect('failed'));
      if (performance.now() - looked > 500) {
        looked = performance.now();
        await this.#lookAfter();
      }
      if (collected === 0) await pause(100, signal);
    }
  }

  /** Announces the run and puts its jobs on the queue; those that are there stay as they are. */
  async #handOut(): Promise<void> {
    const { name, attempts, backOff } = this.#settings;
    const { signal } = this.#distribution;
    const jobs = Array.from(this.#pending.values(), ({ job, wanted }) => ({
      name: 'sample',
      data: {
        model: job.model.name,
        dataset: job.dataset.name,
        sample: job.sample.id,
        keys: wanted.map(({ head }) => head.key),
      } satisfies JobData,
      opts: { jobId: job.id, attempts, backoff: { type: 'exponential', delay: backOff } },
    }));
    for (let i = 0; i < jobs.length; i += listSize)
      await orAborted(this.queue.addBulk(jobs.slice(i, i + listSize)), signal);
    const announced = this.#connection.client.hset(
      queueKeys(name, this.id).runs,
      this.id,
      JSON.stringify(this.#ticket),
    );
    await orAborted(announced, signal);
  }

  async #collect(state: 'completed' | 'failed'): Promise<number> {
    const { signal } = this.#distribution;
    const jobs: Job[] = await orAborted(this.queue.getJobs([state], 0, pageSize - 1, true), signal);
    for (const job of jobs) {
      // Removed between the two looks.
      if (!job) continue;
      const pending = this.#pending.get(job.id ?? '');
      const outcome = pending && (state === 'failed' ? givenUp(pending, job) : readOutcome(pending, job));
      if (pending && outcome) {
        this.#distribution.onDone(pending, outcome);
        this.#pending.delete(pending.job.id);
      }
      await orAborted(this.queue.remove(job.id ?? ''), signal);
      // Asked for other rows than are lacking now, by a coordinator before this one.
      if (pending && !outcome) await this.#handOut();
    }
    return jobs.length;
  }

  /** Hands out again what the server lost, and tells of workers. */
  async #lookAfter(): Promise<void> {
    const { signal, onNote, onWorkers } = this.#distribution;
    const counts = await orAborted(this.queue.getJobCounts(), signal);
    const there = waitingOf(counts) + (counts.active ?? 0) + (counts.completed ?? 0) + (counts.failed ?? 0);
    if (this.#connection.returns() !== this.#returns || there < this.#pending.size) {
      this.#returns = this.#connection.returns();
      await this.#handOut();
    }
    const workers = await orAborted(this.queue.getWorkersCount(), signal);
    onWorkers(workers);
    const { refusals } = queueKeys(this.#settings.name, this.id);
    const refused = await orAborted(this.#connection.client.lrange(refusals, this.#refusals, -1), signal);
    for (const text of refused) onNote(`WARNING: ${text}`);
    this.#refusals += refused.length;
    if (workers > 0) this.#lonely = performance.now();
    else if (performance.now() - this.#lonely > 15_000) {
      this.#lonely = Number.POSITIVE_INFINITY;
      onNote(
        `No worker measures for this run: start some with \`fsyn worker --queue ${this.#connection.shown}\`.`,
      );
    }
  }
}

/** Failed rows for a job that workers gave up, or that took workers with it. */
function givenUp({ wanted }: DistributedJob, job: Job): JobOutcome {
  const cause = new Error(job.failedReason);
  cause.stack = job.stacktrace?.at(-1) ?? job.failedReason;
  // The engine's own words for a job whose workers went away without a word.
  const reason = /stalled/.test(job.failedReason)
    ? `${job.stalledCounter} workers died at this sample, or were not heard of`
    : `Given up after ${job.attemptsMade} tries by workers: ${job.failedReason}`;
  const error = new FsynError('QUEUE', reason, { cause });
  return { ...nothing, records: wanted.map(({ head }) => failedRow(head, error)) };
}

const nothing: Omit<JobOutcome, 'records'> = {
  picture: null,
  cells: 0,
  computed: 0,
  found: 0,
  imageStates: 0,
  explainSeconds: {},
  evaluateSeconds: 0,
  halvings: 0,
};

/**
 * The rows that are wanted of what a worker brought; undefined where it was asked for others, a failure where
 * it brought what it was not asked for.
 */
function readOutcome(pending: DistributedJob, job: Job): JobOutcome | undefined {
  const { keys } = job.data as Partial<JobData>;
  const wanted = pending.wanted.map(({ head }) => head.key);
  if (!Array.isArray(keys) || !wanted.every((key) => keys.includes(key))) return undefined;
  try {
    const outcome = job.returnvalue as JobOutcome;
    const byKey = new Map<string, BenchmarkRecord>();
    for (const record of outcome.records) {
      checkRecord(record, 'A row from the queue');
      byKey.set(record.key, record);
    }
    const records = wanted.flatMap((key) => byKey.get(key) ?? []);
    if (records.length < wanted.length) throw new Error(`${wanted.length - records.length} rows are missing`);
    return { ...nothing, ...outcome, records };
  } catch (cause) {
    const error = new FsynError('QUEUE', `A worker brought no rows of this sample: ${reasonOf(cause)}`, {
      cause,
    });
    return { ...nothing, records: pending.wanted.map(({ head }) => failedRow(head, error)) };
  }
}
