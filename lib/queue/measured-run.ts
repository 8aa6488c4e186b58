import { outlineOf } from '../datasets/choose.js';
import type { Dataset, Sample } from '../datasets/types.js';
import { FsynError } from '../errors.js';
import type { Explainer } from '../explainers/types.js';
import { releaseWhiteBoxSessions } from '../explainers/white-box/sessions.js';
import { describeRun, runDifferences } from '../runner/run-file.js';
import { type ChosenSamples, chooseSamples } from '../runner/sample-choice.js';
import { type JobOutcome, sampleJob } from '../runner/sample-job.js';
import { runSample } from '../runner/sample-run.js';
import type { BenchmarkSettings } from '../runner/settings.js';
import { currentVersions } from '../runner/versions.js';
import type { Vlm } from '../vlm/types.js';
import type { JobData, Ticket } from './protocol.js';

/** A run's parts as they are on this machine. */
export interface OpenedRun {
  readonly models: readonly Vlm[];
  readonly datasets: readonly Dataset[];
  readonly explainers: readonly Explainer[];
  readonly settings: BenchmarkSettings;
  readonly shapleySamples: number;
  /** By default those of this process. */
  readonly versions?: Readonly<Record<string, string>>;
}

interface OpenedDataset {
  readonly dataset: Dataset;
  readonly samples: ReadonlyMap<string, Sample>;
  readonly chosen: ChosenSamples;
}

/** Measures jobs of one run, after making sure that all that decides a number here is what the run says. */
export class MeasuredRun {
  readonly #run: OpenedRun & { readonly versions: Readonly<Record<string, string>> };
  readonly #ticket: Ticket;
  readonly #datasets = new Map<string, Promise<OpenedDataset>>();
  #model: Vlm | undefined;

  /** @throws FsynError QUEUE naming what differs */
  constructor(opened: OpenedRun, ticket: Ticket) {
    this.#run = { ...opened, versions: opened.versions ?? currentVersions() };
    this.#ticket = ticket;
    const description = describeRun({ ...this.#run, invocation: undefined });
    const differences = runDifferences(ticket.description, description);
    for (const name of ['schema', 'shapleySamples'] as const) {
      const there = (ticket.description as Readonly<Record<string, unknown>>)[name];
      if (there !== description[name]) differences.push(`${name}: ${there}, here ${description[name]}`);
    }
    if (differences.length > 0)
      throw new FsynError(
        'QUEUE',
        `This is not what the run ${ticket.id} of ${ticket.host} is to be measured with: ${differences.join('. ')}.`,
      );
  }

  /**
   * Measures the wanted rows of a job.
   *
   * @throws FsynError QUEUE where this machine makes another job of the same names; BUDGET
   */
  async measure(id: string, data: JobData): Promise<JobOutcome> {
    const model = this.#run.models.find(({ name }) => name === data.model);
    const { dataset, samples, chosen } = await this.#dataset(data.dataset);
    const sample = samples.get(data.sample);
    if (!model || !sample) throw this.#foreign(data);
    const job = sampleJob(this.#run, model, dataset, sample, chosen);
    const wanted = job.rows.filter(({ head }) => data.keys.includes(head.key));
    if (job.id !== id || wanted.length !== data.keys.length) throw this.#foreign(data);
    // Jobs come model by model; the next one's graphs need the memory.
    if (this.#model !== undefined && this.#model !== model) releaseWhiteBoxSessions();
    this.#model = model;
    let computed = 0;
    const store = {
      find: () => undefined,
      keep: (_: string, cells: readonly string[]) => {
        computed += cells.length;
      },
    };
    const { settings } = this.#run;
    const task = { model, dataset, sample, wanted, settings, gallery: job.gallery, store };
    const { interrupted: _, ...outcome } = await runSample(task, undefined);
    return { ...outcome, computed, found: 0 };
  }

  #dataset(name: string): Promise<OpenedDataset> {
    const known = this.#datasets.get(name) ?? this.#openDataset(name);
    this.#datasets.set(name, known);
    return known;
  }

  async #openDataset(name: string): Promise<OpenedDataset> {
    const dataset = this.#run.datasets.find((one) => one.name === name);
    if (!dataset) throw new FsynError('QUEUE', `The run has no dataset ${JSON.stringify(name)}.`);
    const samples = new Map<string, Sample>();
    for await (const sample of dataset.samples()) samples.set(sample.id, sample);
    const { settings, shapleySamples } = this.#run;
    const counts = { shapley: shapleySamples, gallery: this.#ticket.gallerySamples, seed: settings.seed };
    return { dataset, samples, chosen: chooseSamples(await outlineOf(dataset, undefined), counts) };
  }

  #foreign({ model, dataset, sample }: JobData): FsynError {
    return new FsynError(
      'QUEUE',
      `${model}, ${dataset}, ${sample} has other keys here than in the run ${this.#ticket.id}: ` +
        'models, data, explainers, settings or versions are not the same.',
    );
  }
}
