import { cpus } from 'node:os';
import { join } from 'node:path';
import { checkInteger } from '../checks.js';
import { outlineOf } from '../datasets/choose.js';
import type { Dataset } from '../datasets/types.js';
import { FsynError } from '../errors.js';
import { closeExplainers } from '../explainers/module.js';
import type { SampleIdentity } from '../explainers/types.js';
import { releaseWhiteBoxSessions } from '../explainers/white-box/sessions.js';
import { resolveOptions } from '../options.js';
import { galleryFile, isGalleryRecord } from '../report/gallery.js';
import type { BenchmarkRecord } from '../report/record.js';
import { isTiming, timingsFile } from '../report/sources.js';
import { type ToldApart, toldApartFile } from '../report/told-apart.js';
import type { Vlm } from '../vlm/types.js';
import { writeWhole } from '../whole-file.js';
import { CellFile } from './cell-file.js';
import type { Distribute, DistributedJob } from './distribute.js';
import { refuseRepeated } from './names.js';
import { NeedFilter } from './needs-both.js';
import { ResultStore } from './result-store.js';
import { describeRun, runDifferences, writeRunFile } from './run-file.js';
import {
  type BenchmarkOptions,
  type BenchmarkOutcome,
  benchmarkDefaults,
  type ResolvedRun,
} from './run-options.js';
import { type ChosenSamples, chooseSamples } from './sample-choice.js';
import { type JobOutcome, type SampleJob, sampleJob, settingsKey } from './sample-job.js';
import { runSample } from './sample-run.js';
import { contentKey, defaultSettings } from './settings.js';
import { SideFile } from './side-file.js';
import {
  RankingInWork,
  requireSequential,
  rowsByKey,
  seededOrder,
  type UntilToldApart,
} from './until-told-apart.js';
import { currentVersions } from './versions.js';

/**
 * Runs models x datasets x explainers and appends one JSON line per (sample, explainer, model).
 * A killed run that is resumed repeats no finished row and loses none, and finds the cells of the sample in
 * work. Rows hold no clock times, so that equal inputs give equal bytes; times are in timings.jsonl.
 *
 * @throws FsynError INVALID_ARGUMENT for two models, datasets or explainers of one name; RESULTS when rows
 *   cannot be written, when another process works in the folder, or when a resumed folder's rows were
 *   measured with another version of fsyn, of an explainer's file, of a model or of the data; the signal's
 *   reason when aborted (finished rows are kept)
 */
export async function runBenchmark(options: Partial<BenchmarkOptions>): Promise<BenchmarkOutcome> {
  const given = resolveOptions<BenchmarkOptions>(
    'runBenchmark',
    { ...benchmarkDefaults, versions: currentVersions() },
    options,
  );
  for (const part of ['models', 'datasets', 'explainers'] as const) {
    if (given[part].length === 0)
      throw new FsynError('INVALID_ARGUMENT', `Expected at least one of ${part} but received none.`);
    refuseRepeated(part, given[part]);
  }
  const run: ResolvedRun = {
    ...given,
    settings: resolveOptions('settings', defaultSettings, given.settings),
  };
  const { index, count } = run.shard;
  checkInteger('shard.count', count, 1);
  checkInteger('shard.index', index, 0, count - 1);
  if (run.out === '') throw new FsynError('INVALID_ARGUMENT', 'Expected a folder for out but received "".');
  if (run.untilToldApart) requireSequential(run, run.untilToldApart);
  if (run.distribute && run.settings.needsBoth)
    throw new FsynError(
      'INVALID_ARGUMENT',
      'needsBoth leaves samples out by their first four cells: measure here, without distribute.',
    );
  const { resume, retryFailed, onNote } = run;
  const store = ResultStore.open(run.out, { resume, retryFailed, onNote });
  try {
    store.requireVersions(run.versions);
    await requireSamples(run);
    for (const explainer of run.explainers) store.requireFingerprint(explainer);
    const key = settingsKey(run);
    for (const { name, fingerprint } of run.models)
      store.requireSource(key, 'model', { name, version: fingerprint });
    for (const { name, version } of run.datasets) store.requireSource(key, 'dataset', { name, version });
    const description = describeRun(run);
    const differences = run.replayed ? runDifferences(run.replayed, description) : [];
    if (differences.length > 0)
      onNote(`WARNING: this is not the run that it is to repeat: ${differences.join('. ')}.`);
    writeRunFile(run.out, description);
    return await new Runner(run, store).run();
  } finally {
    store.close();
    await closeExplainers(run.explainers);
  }
}

/**
 * What decides which cells are scored together, and how, besides model and sample: the bytes of a score
 * depend on it.
 */
function cellContext(run: ResolvedRun): string {
  return contentKey({
    settings: run.settings,
    versions: run.versions,
    explainers: run.explainers.map(({ name }) => name),
    shapleySamples: run.shapleySamples,
    processor: cpus()[0]?.model,
    architecture: process.arch,
  });
}

class Runner {
  readonly #run: ResolvedRun;
  readonly #keys = new Set<string>();
  readonly #store: ResultStore;
  readonly #timings: SideFile;
  readonly #gallery: SideFile;
  readonly #total: number;
  #done = 0;
  #failed = 0;
  #resumed = 0;
  #resumedSamples = 0;
  #cells = 0;
  #computedCells = 0;
  #foundCells = 0;
  #halvings = 0;
  #leftOut = 0;
  readonly #toldApart: ToldApart[] = [];
  readonly #needs: NeedFilter | undefined;
  #workers: number | undefined;
  #last = { model: '', dataset: '' };

  constructor(run: ResolvedRun, store: ResultStore) {
    this.#run = run;
    this.#store = store;
    this.#timings = new SideFile(join(run.out, timingsFile), isTiming, run.onNote);
    this.#gallery = new SideFile(join(run.out, galleryFile), isGalleryRecord, run.onNote);
    if (run.settings.needsBoth) this.#needs = new NeedFilter(run.out, run.onNote);
    const { index, count } = run.shard;
    const perModel = run.datasets.reduce((sum, { size }) => sum + Math.ceil((size - index) / count), 0);
    this.#total = run.models.length * perModel;
  }

  async run(): Promise<BenchmarkOutcome> {
    const start = performance.now();
    if (this.#run.distribute) await this.#distribute(this.#run.distribute);
    else await this.#measureHere();
    return {
      keys: this.#keys,
      failed: this.#failed,
      resumed: this.#resumed,
      cells: this.#cells,
      computedCells: this.#computedCells,
      foundCells: this.#foundCells,
      halvings: this.#halvings,
      leftOut: this.#leftOut,
      toldApart: this.#toldApart,
      seconds: (performance.now() - start) / 1000,
    };
  }

  async #measureHere(): Promise<void> {
    const cellFile = new CellFile(this.#run.out, cellContext(this.#run), this.#run.onNote);
    const until = this.#run.untilToldApart;
    const known = until && rowsByKey(this.#run.out);
    try {
      for (const model of this.#run.models) {
        try {
          if (until && known) await this.#measureUntil(until, model, cellFile, known);
          else for await (const job of this.#jobs([model])) await this.#measure(job, cellFile);
        } finally {
          // The next model's graphs need the memory, and no sample comes back to this one's.
          releaseWhiteBoxSessions();
        }
      }
    } finally {
      cellFile.close();
    }
    if (until)
      writeWhole(join(this.#run.out, toldApartFile), `${JSON.stringify(this.#toldApart, null, 2)}\n`);
  }

  /** Measures a model's samples until its ranking is certain or they end. */
  async #measureUntil(
    until: UntilToldApart,
    model: Vlm,
    cellFile: CellFile,
    known: ReadonlyMap<string, BenchmarkRecord>,
  ): Promise<void> {
    const { explainers, settings, signal } = this.#run;
    const names = explainers.map(({ name }) => name);
    const ranking = new RankingInWork(model, names, settings, until);
    const jobs: SampleJob[] = [];
    for await (const job of this.#jobs([model])) jobs.push(job);
    for (const job of seededOrder(jobs, settings.seed)) {
      if (ranking.isCertain) break;
      signal?.throwIfAborted();
      const rows = ranking.rowsOf(job);
      const records = await this.#measure({ ...job, rows }, cellFile);
      if (records === 'left out') continue;
      const found = rows.flatMap(({ head }) => known.get(head.key) ?? []);
      ranking.take([...found.filter(({ key }) => !records.some((row) => row.key === key)), ...records]);
    }
    this.#toldApart.push(ranking.outcome(jobs.length));
  }

  /** This shard's jobs in order. */
  async *#jobs(models: readonly Vlm[] = this.#run.models): AsyncGenerator<SampleJob> {
    const { datasets, shard, signal } = this.#run;
    for (const model of models) {
      for (const dataset of datasets) {
        const chosen = await this.#choose(dataset);
        let index = 0;
        for await (const sample of dataset.samples()) {
          signal?.throwIfAborted();
          if (index++ % shard.count !== shard.index) continue;
          yield sampleJob(this.#run, model, dataset, sample, chosen);
        }
      }
    }
  }

  async #choose(dataset: Dataset): Promise<ChosenSamples> {
    const { shapleySamples, gallerySamples, settings, signal } = this.#run;
    const counts = { shapley: shapleySamples, gallery: gallerySamples, seed: settings.seed };
    return chooseSamples(await outlineOf(dataset, signal), counts);
  }

  /** Does one job here, keeps its rows and returns those that were measured. */
  async #measure(job: SampleJob, cellFile: CellFile): Promise<readonly BenchmarkRecord[] | 'left out'> {
    const wanted = this.#wanted(job);
    const { model, dataset, sample, gallery } = job;
    const own = [model.name, model.fingerprint, dataset.name, dataset.version, sample.id];
    cellFile.begin(contentKey(own));
    if (wanted.length === 0) {
      // A process that was killed between a sample's rows and its clearing up left cells that nobody needs.
      if (!job.rows.some(({ head }) => this.#store.hasFailed(head.key))) cellFile.settle();
      this.#count(job, true);
      return [];
    }
    const { settings, signal } = this.#run;
    const asking = { model, dataset, sample, settings };
    const need = await this.#needs?.ask(contentKey([own, settingsKey(this.#run)]), asking, cellFile, signal);
    if (need?.leftOut) {
      cellFile.settle();
      this.#cells += need.cells;
      this.#leftOut++;
      for (const { head } of job.rows) this.#keys.delete(head.key);
      this.#count(job, false);
      return 'left out';
    }
    const task = { ...asking, wanted, gallery, store: need?.store ?? cellFile, prepared: need?.prepared };
    const { interrupted, ...outcome } = await runSample(task, signal);
    this.#store.append(outcome.records);
    this.#keep(job, { ...outcome, ...cellFile.settle(interrupted) });
    return outcome.records;
  }

  /** Has all jobs done elsewhere, and keeps their rows as they come. */
  async #distribute(distribute: Distribute): Promise<void> {
    const open: DistributedJob[] = [];
    for await (const job of this.#jobs()) {
      const wanted = this.#wanted(job);
      if (wanted.length === 0) this.#count(job, true);
      else open.push({ job, wanted });
    }
    const { onNote, gallerySamples, signal } = this.#run;
    await distribute({
      jobs: open,
      description: describeRun(this.#run),
      gallerySamples,
      out: this.#run.out,
      onNote,
      signal,
      onDone: ({ job }, outcome) => {
        this.#store.append(outcome.records);
        this.#keep(job, outcome);
      },
      onWorkers: (workers) => {
        this.#workers = workers;
        this.#tell();
      },
    });
  }

  #wanted(job: SampleJob): SampleJob['rows'] {
    for (const { head } of job.rows) this.#keys.add(head.key);
    const wanted = job.rows.filter(({ head }) => !this.#store.has(head.key));
    this.#resumed += job.rows.length - wanted.length;
    return wanted;
  }

  /** Keeps what goes with a job's rows, and tells of it. */
  #keep(job: SampleJob, outcome: JobOutcome): void {
    const { cells, computed, found, imageStates, explainSeconds, evaluateSeconds, halvings } = outcome;
    this.#computedCells += computed;
    this.#foundCells += found;
    this.#cells += cells;
    this.#halvings += halvings;
    this.#timings.append({
      model: job.model.name,
      dataset: job.dataset.name,
      sample: job.sample.id,
      cells,
      computed,
      found,
      imageStates,
      explainSeconds,
      evaluateSeconds,
      halvings,
    });
    if (outcome.picture) this.#gallery.append(outcome.picture);
    if (outcome.pictureProblem !== undefined)
      this.#run.onNote(`No picture of ${job.sample.id} for the report: ${outcome.pictureProblem}`);
    this.#count(job, false);
  }

  #count({ model, dataset, rows }: SampleJob, resumed: boolean): void {
    this.#done++;
    if (resumed) this.#resumedSamples++;
    this.#failed += rows.filter(({ head }) => this.#store.hasFailed(head.key)).length;
    this.#last = { model: model.name, dataset: dataset.name };
    this.#tell();
  }

  #tell(): void {
    this.#run.onProgress({
      done: this.#done,
      total: this.#total,
      failed: this.#failed,
      resumedSamples: this.#resumedSamples,
      ...this.#last,
      ...(this.#workers === undefined ? {} : { workers: this.#workers }),
    });
  }
}

/** Lets explainers refuse what they cannot explain before the first sample is measured. */
async function requireSamples(run: BenchmarkOptions): Promise<void> {
  const asking = run.explainers.filter((explainer) => explainer.require !== undefined);
  if (asking.length === 0) return;
  const { index, count } = run.shard;
  const mine: SampleIdentity[] = [];
  for (const dataset of run.datasets) {
    let at = 0;
    for await (const { id } of dataset.samples()) {
      if (at++ % count === index) mine.push({ dataset: dataset.name, sample: id });
    }
  }
  for (const explainer of asking) await explainer.require?.(mine);
}
