import { embeddedFamilies, openDatasets } from '../datasets/open.js';
import type { Dataset } from '../datasets/types.js';
import { resolveExplainers } from '../explainers/module.js';
import { asPublished } from '../explainers/registry.js';
import type { Explainer } from '../explainers/types.js';
import { resolveOptions } from '../options.js';
import { refuseRepeated } from './names.js';
import { type BenchmarkSettings, defaultSettings } from './settings.js';

/** How much of everything a run takes where nothing is said. */
export interface BenchmarkSizes {
  /** Samples per embedded dataset, which has no end of its own, and most samples per dataset on disk. */
  readonly size: number;
  readonly limit: number;
  /**
   * Samples per dataset with the exact Shapley interaction index, its background groups and its partitions.
   */
  readonly shapleySamples: number;
  readonly shapleyGroups: number;
  readonly shapleyPartitions: number;
}

/** A first look at the embedded grid in a few minutes on two cores. */
export const firstLook: BenchmarkSizes = {
  size: 6,
  limit: 40,
  shapleySamples: 2,
  shapleyGroups: 3,
  shapleyPartitions: 1,
};

/** All of it, with the index as published. */
export const fullSize: BenchmarkSizes = {
  size: 60,
  limit: Number.POSITIVE_INFINITY,
  shapleySamples: 5,
  shapleyGroups: defaultSettings.shapleyGroups,
  shapleyPartitions: defaultSettings.shapleyPartitions,
};

export interface BenchmarkChoice {
  /** Datasets as `openDatasets` reads them. Default: the three embedded ones. */
  readonly datasets: readonly string[];
  /**
   * Names of explainers, paths of modules that export some, `import:NAME=FOLDER`, `exec:COMMAND`, or `all`.
   */
  readonly explainers: readonly string[];
  /** Sizes of everything that is not said: `fullSize` instead of `firstLook`. */
  readonly full: boolean;
  /** Samples per dataset, >= 1. */
  readonly limit: number | undefined;
  /** Whether a data file may name pictures outside its folder, which a report then shows. */
  readonly allowOutside: boolean;
  /** Samples per dataset with the exact Shapley interaction index, >= 0; each costs about 30 F_syn. */
  readonly shapleySamples: number | undefined;
  /** What else decides a result; `seed` also draws the samples. */
  readonly settings: Partial<BenchmarkSettings>;
  /** Seconds that an explainer in another process (`exec:`) may take for a sample. */
  readonly explainerTimeout: number;
  /** Hears what such processes write to their standard error, a line at a time. */
  readonly onExplainerLog: (line: string) => void;
  /**
   * Hears what a person should know before the run: questions that cannot be asked, explainers left out of
   * `all`.
   */
  readonly onNote: (text: string) => void;
}

/** What `runBenchmark` and `planBenchmark` need besides models and a folder. */
export interface ChosenBenchmark {
  readonly datasets: readonly Dataset[];
  readonly explainers: readonly Explainer[];
  readonly shapleySamples: number;
  readonly settings: BenchmarkSettings;
}

const defaults: BenchmarkChoice = {
  datasets: [...embeddedFamilies.keys()],
  explainers: ['all'],
  full: false,
  limit: undefined,
  allowOutside: false,
  shapleySamples: undefined,
  settings: {},
  explainerTimeout: 600,
  onExplainerLog: () => {},
  onNote: () => {},
};

/**
 * Chooses samples, explainers and settings of a run by name, as `fsyn bench` does.
 *
 * @example
 * const chosen = await chooseBenchmark({ datasets: ['presence'], explainers: ['oracle', 'random'], limit: 5
 * }); const outcome = await runBenchmark({ ...chosen, models: await loadModels(['llava-tiny']), out:
 * 'results/first' });
 *
 * @throws FsynError INVALID_ARGUMENT for unknown or repeated names, DATASET, EXPLAINER
 */
export async function chooseBenchmark(choice?: Partial<BenchmarkChoice>): Promise<ChosenBenchmark> {
  const { full, limit, allowOutside, onNote, ...chosen } = resolveOptions(
    'chooseBenchmark',
    defaults,
    choice,
  );
  const sizes = full ? fullSize : firstLook;
  const settings = resolveOptions(
    'settings',
    {
      ...defaultSettings,
      shapleyGroups: sizes.shapleyGroups,
      shapleyPartitions: sizes.shapleyPartitions,
    },
    chosen.settings,
  );
  const named = await resolveExplainers(chosen.explainers, undefined, {
    timeout: chosen.explainerTimeout,
    onLog: chosen.onExplainerLog,
  });
  const explainers = settings.compat === 'reference' ? asPublished(named) : named;
  const datasets = await openDatasets(chosen.datasets, {
    size: limit ?? sizes.size,
    limit: limit ?? sizes.limit,
    seed: settings.seed,
    allowOutside,
  });
  refuseRepeated('datasets', datasets);
  for (const note of datasets.flatMap(({ notes }) => notes ?? [])) onNote(note);
  return {
    datasets,
    explainers: chosen.explainers.includes('all') ? withoutTruth(explainers, datasets, onNote) : explainers,
    shapleySamples: chosen.shapleySamples ?? sizes.shapleySamples,
    settings,
  };
}

/**
 * Of `all`, the explainers that can run: the Oracle controls need ground truth that some data lack
 * throughout.
 */
function withoutTruth(
  all: readonly Explainer[],
  datasets: readonly Dataset[],
  onNote: (text: string) => void,
): readonly Explainer[] {
  if (!datasets.every(({ truthless }) => truthless)) return all;
  const left = all.filter(({ needsTruth }) => needsTruth).map(({ name }) => name);
  onNote(`No sample has ground truth, so ${left.join(' and ')} are left out of all explainers.`);
  return all.filter(({ needsTruth }) => !needsTruth);
}
