import { cpus } from 'node:os';
import { join } from 'node:path';
import { checkInteger } from '../checks.js';
import { outlineOf } from '../datasets/choose.js';
import type { Dataset, Sample } from '../datasets/types.js';
import { FsynError } from '../errors.js';
import { closeExplainers } from '../explainers/module.js';
import type { Explainer, SampleIdentity } from '../explainers/types.js';
import { releaseWhiteBoxSessions } from '../explainers/white-box/sessions.js';
import { resolveOptions } from '../options.js';
import { galleryFile, isGalleryRecord } from '../report/gallery.js';
import { type RecordHead, recordSchema } from '../report/record.js';
import { isTiming, type RunDescription, timingsFile } from '../report/sources.js';
import { deriveSeed } from '../statistics/random.js';
import type { Vlm } from '../vlm/types.js';
import { CellFile } from './cell-file.js';
import { refuseRepeated } from './names.js';
import { ResultStore } from './result-store.js';
import { describeRun, runDifferences, writeRunFile } from './run-file.js';
import { type ChosenSamples, chooseSamples } from './sample-choice.js';
import { runSample } from './sample-run.js';
import { type BenchmarkSettings, contentKey, defaultSettings } from './settings.js';
import { SideFile } from './side-file.js';
import { currentVersions } from './versions.js';

/** What a run reports while it works. */
export interface BenchmarkProgress {
  /** Samples finished or skipped because their rows exist, over all models and datasets. */
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  /** Samples of `done` that needed no work. */
  readonly resumedSamples: number;
  readonly model: string;
  readonly dataset: string;
}

export interface BenchmarkOptions {
  readonly models: readonly Vlm[];
  readonly datasets: readonly Dataset[];
  readonly explainers: readonly Explainer[];
  /** Folder for results.jsonl, run.json, timings.jsonl, gallery.jsonl and, while it runs, cells.bin. */
  readonly out: string;
  readonly resume: boolean;
  /** When resuming: run failed rows again instead of keeping them. */
  readonly retryFailed: boolean;
  /** What else decides a result; what is not said is as in `defaultSettings`. */
  readonly settings: Partial<BenchmarkSettings>;
  /**
   * Samples per dataset on which the exact Shapley interaction index is computed too: grounded ones first, by
   * a hash of seed and id.
   */
  readonly shapleySamples: number;
  /**
   * Samples per dataset whose picture is kept for the report's gallery: of every grounding, by a hash of seed
   * and id.
   */
  readonly gallerySamples: number;
  /**
   * Measure only every `count`-th sample, beginning with number `index` (from 0): shards of one run never
   * overlap.
   */
  readonly shard: { readonly index: number; readonly count: number };
  /**
   * What measured the rows, part of their keys; by default the versions of fsyn, its code and ONNX Runtime.
   */
  readonly versions: Readonly<Record<string, string>>;
  /**
   * How this run was asked for; kept in run.json, where `fsyn bench --config` finds it, and part of no key.
   */
  readonly invocation: Readonly<Record<string, unknown>> | undefined;
  /** The run.json of a run that this one is to repeat; what differs from it is said before the start. */
  readonly replayed: RunDescription | undefined;
  readonly onProgress: (progress: BenchmarkProgress) => void;
  /** Hears what a user should know and what does not end the run. */
  readonly onNote: (text: string) => void;
  readonly signal: AbortSignal | undefined;
}

/** Options with everything filled in. */
type ResolvedRun = BenchmarkOptions & { readonly settings: BenchmarkSettings };

const defaults: Omit<BenchmarkOptions, 'versions'> = {
  models: [],
  datasets: [],
  explainers: [],
  out: '',
  resume: false,
  retryFailed: false,
  settings: {},
  shapleySamples: 0,
  gallerySamples: 0,
  shard: { index: 0, count: 1 },
  invocation: undefined,
  replayed: undefined,
  onProgress: () => {},
  onNote: () => {},
  signal: undefined,
};

export interface BenchmarkOutcome {
  /**
   * Keys of this run's rows, measured now or found; a resumed folder may hold rows of other settings beside
   * them.
   */
  readonly keys: ReadonlySet<string>;
  /** Failed rows among `keys`. */
  readonly failed: number;
  /** Rows of `keys` that were found. */
  readonly resumed: number;
  readonly cells: number;
  /**
   * Cells that were scored in this call, those of explainers too, and cells found that an earlier process had
   * scored.
   */
  readonly computedCells: number;
  readonly foundCells: number;
  /** Batches that did not fit into memory and were halved, in this call. */
  readonly halvings: number;
  readonly seconds: number;
}

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
    { ...defaults, versions: currentVersions() },
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
  const { resume, retryFailed, onNote } = run;
  const store = ResultStore.open(run.out, { resume, retryFailed, onNote });
  let cells: CellFile | undefined;
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
    cells = new CellFile(run.out, cellContext(run), run.onNote);
    return await new Runner(run, store, cells).run();
  } finally {
    cells?.close();
    store.close();
    await closeExplainers(run.explainers);
  }
}

/** Rows of equal settings and versions can be compared. */
function settingsKey({ settings, versions }: ResolvedRun): string {
  return contentKey({ ...settings, versions });
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
  readonly #settingsKey: string;
  readonly #store: ResultStore;
  readonly #cellFile: CellFile;
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

  constructor(run: ResolvedRun, store: ResultStore, cellFile: CellFile) {
    this.#run = run;
    this.#settingsKey = settingsKey(run);
    this.#store = store;
    this.#cellFile = cellFile;
    this.#timings = new SideFile(join(run.out, timingsFile), isTiming, run.onNote);
    this.#gallery = new SideFile(join(run.out, galleryFile), isGalleryRecord, run.onNote);
    const { index, count } = run.shard;
    const perModel = run.datasets.reduce((sum, { size }) => sum + Math.ceil((size - index) / count), 0);
    this.#total = run.models.length * perModel;
  }

  async run(): Promise<BenchmarkOutcome> {
    const start = performance.now();
    const keys = new Set<string>();
    for (const model of this.#run.models) {
      try {
        for (const dataset of this.#run.datasets) {
          const chosen = await this.#choose(dataset);
          let index = 0;
          for await (const sample of dataset.samples()) {
            this.#run.signal?.throwIfAborted();
            const mine = index++ % this.#run.shard.count === this.#run.shard.index;
            if (mine) for (const key of await this.#sample(model, dataset, sample, chosen)) keys.add(key);
          }
        }
      } finally {
        // The next model's graphs need the memory, and no sample comes back to this one's.
        releaseWhiteBoxSessions();
      }
    }
    return {
      keys,
      failed: this.#failed,
      resumed: this.#resumed,
      cells: this.#cells,
      computedCells: this.#computedCells,
      foundCells: this.#foundCells,
      halvings: this.#halvings,
      seconds: (performance.now() - start) / 1000,
    };
  }

  async #choose(dataset: Dataset): Promise<ChosenSamples> {
    const { shapleySamples, gallerySamples, settings, signal } = this.#run;
    const counts = { shapley: shapleySamples, gallery: gallerySamples, seed: settings.seed };
    return chooseSamples(await outlineOf(dataset, signal), counts);
  }

  async #sample(model: Vlm, dataset: Dataset, sample: Sample, chosen: ChosenSamples): Promise<string[]> {
    const shapley = chosen.shapley.has(sample.id);
    const asked = this.#run.explainers.filter((one) => one.appliesTo?.(sample.truth) ?? true);
    const all = asked.map((explainer) => ({
      explainer,
      shapley,
      head: this.#head(model, dataset, sample, explainer, shapley),
    }));
    const wanted = all.filter(({ head }) => !this.#store.has(head.key));
    this.#resumed += all.length - wanted.length;
    this.#cellFile.begin(
      contentKey([model.name, model.fingerprint, dataset.name, dataset.version, sample.id]),
    );
    if (wanted.length === 0) {
      this.#resumedSamples++;
      // A process that was killed between a sample's rows and its clearing up left cells that nobody needs.
      if (!all.some(({ head }) => this.#store.hasFailed(head.key))) this.#cellFile.settle();
    } else {
      const task = {
        model,
        dataset,
        sample,
        wanted,
        settings: this.#run.settings,
        gallery: chosen.gallery.has(sample.id),
        store: this.#cellFile,
      };
      const outcome = await runSample(task, this.#run.signal);
      this.#store.append(outcome.records);
      const { computed, found } = this.#cellFile.settle(outcome.interrupted);
      this.#computedCells += computed;
      this.#foundCells += found;
      this.#cells += outcome.cells;
      this.#halvings += outcome.halvings;
      const { cells, imageStates, explainSeconds, evaluateSeconds, halvings } = outcome;
      this.#timings.append({
        model: model.name,
        dataset: dataset.name,
        sample: sample.id,
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
        this.#run.onNote(`No picture of ${sample.id} for the report: ${outcome.pictureProblem}`);
    }
    this.#done++;
    this.#failed += all.filter(({ head }) => this.#store.hasFailed(head.key)).length;
    this.#run.onProgress({
      done: this.#done,
      total: this.#total,
      failed: this.#failed,
      resumedSamples: this.#resumedSamples,
      model: model.name,
      dataset: dataset.name,
    });
    return all.map(({ head }) => head.key);
  }

  #head(model: Vlm, dataset: Dataset, sample: Sample, explainer: Explainer, shapley: boolean): RecordHead {
    const identity = {
      schema: recordSchema,
      model: model.name,
      modelFingerprint: model.fingerprint,
      dataset: dataset.name,
      datasetVersion: dataset.version,
      sample: sample.id,
      explainer: explainer.name,
      ...fingerprintOf(explainer, { dataset: dataset.name, sample: sample.id }),
      settings: this.#settingsKey,
    };
    return {
      ...identity,
      key: contentKey({ ...identity, shapley }),
      family: sample.family,
      grounding: sample.grounding ?? null,
      seed: deriveSeed(this.#run.settings.seed, dataset.name, sample.id, explainer.name),
      versions: this.#run.versions,
      question: sample.question,
      expected: sample.answer,
    };
  }
}

/** What an explainer that is no part of fsyn is, and what it says where that is read from files. */
function fingerprintOf(
  explainer: Explainer,
  identity: SampleIdentity,
): { readonly explainerFingerprint?: string } {
  const fingerprint = explainer.fingerprintOf?.(identity) ?? explainer.fingerprint;
  return fingerprint === undefined ? {} : { explainerFingerprint: fingerprint };
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
