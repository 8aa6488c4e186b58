import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FsynError } from '../errors.js';
import { synergyBound } from '../metrics/synergy-bound.js';
import { truthControls } from '../report/pool.js';
import type { BenchmarkRecord } from '../report/record.js';
import type { ToldApart } from '../report/told-apart.js';
import { deriveSeed } from '../statistics/random.js';
import type { Guarantee } from '../statistics/sequential.js';
import { SequentialRanking } from '../statistics/sequential-ranking.js';
import { readRecords, resultsFile } from './rows.js';
import type { SampleJob } from './sample-job.js';
import type { BenchmarkSettings } from './settings.js';

/** When a run is to stop before its samples end. */
export interface UntilToldApart {
  /** Largest chance that any pair of explainers is put in a false order, in (0, 1). */
  readonly alpha: number;
  readonly guarantee: Guarantee;
  /** The two explainers whose order is asked for; without them the whole ranking. */
  readonly pair?: readonly [string, string];
}

/**
 * Ranks one model's explainers while its samples are measured, in a seeded order. Which explainers a sample
 * is measured for depends on earlier samples only, so that what is concluded stays valid, and a run that goes
 * on comes to the same choices.
 */
export class RankingInWork {
  readonly #ranking: SequentialRanking;
  readonly #until: UntilToldApart;
  readonly #model: string;
  readonly #controls: ReadonlySet<string>;
  #samples = 0;

  /**
   * @throws FsynError INVALID_ARGUMENT for fewer than two explainers to rank, an unknown pair, a scoring
   * without bounds
   */
  constructor(
    model: { readonly name: string; readonly architecture: string },
    explainers: readonly string[],
    settings: BenchmarkSettings,
    until: UntilToldApart,
  ) {
    if (settings.scoring === 'log-probability' && until.guarantee === 'certified')
      throw new FsynError(
        'INVALID_ARGUMENT',
        "A certificate needs values with bounds, and log-probabilities have none: use the scoring 'probability' or the guarantee 'asymptotic'.",
      );
    // Cosines lie in [-1, 1], probabilities in [0, 1].
    const width = dualArchitectures.includes(model.architecture) ? 2 : 1;
    const bound =
      settings.scoring === 'log-probability' ? Number.MAX_VALUE : synergyBound(settings.steps, width);
    const pair = until.pair;
    const names = explainers.filter((name) => pair?.includes(name) || !truthControls.includes(name));
    this.#ranking = new SequentialRanking(names, { ...until, bound });
    this.#until = until;
    this.#model = model.name;
    this.#controls = new Set(pair ? [] : explainers.filter((name) => truthControls.includes(name)));
  }

  get isCertain(): boolean {
    return this.#ranking.isCertain;
  }

  /**
   * The rows of a job that are still worth measuring: of open places, and the controls that know the truth.
   */
  rowsOf(job: SampleJob): SampleJob['rows'] {
    const open = new Set([...this.#ranking.open, ...this.#controls]);
    return job.rows.filter(({ explainer }) => open.has(explainer.name));
  }

  /** Takes the rows of one sample; failed ones are passed over. */
  take(records: readonly BenchmarkRecord[]): void {
    this.#samples++;
    this.#ranking.add(
      new Map(
        records.flatMap((row): [string, number][] =>
          row.status === 'ok' ? [[row.explainer, row.synergy.raw.mean]] : [],
        ),
      ),
    );
  }

  outcome(available: number): ToldApart {
    const { places, certain, pairs, isCertain } = this.#ranking;
    const { alpha, guarantee, pair } = this.#until;
    return {
      ...{ model: this.#model, alpha, guarantee, pair: pair ?? null },
      ...{ isCertain, samples: this.#samples, available, places, certain, pairs },
    };
  }
}

const dualArchitectures: readonly string[] = ['clip', 'siglip'];

/** Jobs in an order that depends on seed, dataset and sample alone. */
export function seededOrder(jobs: readonly SampleJob[], seed: number): SampleJob[] {
  const place = new Map(
    jobs.map((job) => [job, deriveSeed(seed, 'told-apart', job.dataset.name, job.sample.id)]),
  );
  return [...jobs].sort((a, b) => place.get(a)! - place.get(b)!);
}

/** Refuses what a ranking that stops cannot be made from, before work starts. */
export function requireSequential(
  run: {
    readonly models: readonly { readonly name: string; readonly architecture: string }[];
    readonly explainers: readonly { readonly name: string }[];
    readonly settings: BenchmarkSettings;
    readonly shard: { readonly count: number };
    readonly distribute: unknown;
  },
  until: UntilToldApart,
): void {
  if (run.shard.count > 1 || run.distribute)
    throw new FsynError(
      'INVALID_ARGUMENT',
      'untilToldApart decides after every sample what to measure: measure here, without shard or distribute.',
    );
  const names = run.explainers.map(({ name }) => name);
  for (const model of run.models) new RankingInWork(model, names, run.settings, until);
}

/** The rows that a folder holds; of two of one key the later. */
export function rowsByKey(folder: string): Map<string, BenchmarkRecord> {
  if (!existsSync(join(folder, resultsFile))) return new Map();
  return new Map(
    Array.from(
      readRecords(folder, () => {}),
      (record) => [record.key, record],
    ),
  );
}
