import type { Dataset } from '../datasets/types.js';
import type { Explainer } from '../explainers/types.js';
import type { RunDescription } from '../report/sources.js';
import type { ToldApart } from '../report/told-apart.js';
import type { Vlm } from '../vlm/types.js';
import type { Distribute } from './distribute.js';
import type { BenchmarkSettings } from './settings.js';
import type { UntilToldApart } from './until-told-apart.js';

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
  /** Processes that measure, where the run is distributed. */
  readonly workers?: number;
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
   * Has the samples measured elsewhere and their rows brought here, for example by `distributeOver` of a
   * queue; undefined: they are measured here, one after the other.
   */
  readonly distribute: Distribute | undefined;
  /**
   * Take each model's samples of all datasets in a seeded order, measure only explainers whose place is open,
   * and stop when the order is certain. What was found is in told-apart.json too.
   */
  readonly untilToldApart: UntilToldApart | undefined;
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
export type ResolvedRun = BenchmarkOptions & { readonly settings: BenchmarkSettings };

export const benchmarkDefaults: Omit<BenchmarkOptions, 'versions'> = {
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
  distribute: undefined,
  untilToldApart: undefined,
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
  /** Samples that were left out because they do not need both modalities; 0 unless that was asked for. */
  readonly leftOut: number;
  /** With `untilToldApart`: how far the ranking of every model was settled. */
  readonly toldApart: readonly ToldApart[];
  readonly seconds: number;
}
