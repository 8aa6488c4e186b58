import { bootstrapMean, type Interval } from '../statistics/bootstrap.js';
import { kendall, ranks, spearman } from '../statistics/ranks.js';
import type { BenchmarkRecord, MeasuredRecord } from './record.js';

/** One explainer on one model and dataset. */
export interface ExplainerSummary {
  readonly explainer: string;
  readonly samples: number;
  readonly failures: number;
  readonly synergyRaw: Interval;
  readonly synergyNormalised: Interval;
  readonly synergyClipped: Interval;
  readonly imageSrg: Interval;
  readonly textSrg: Interval;
  /** Shapley interaction index over the samples that have it; `shapleySamples` says how many. */
  readonly shapley: Interval;
  readonly shapleySamples: number;
  /** Raw F_syn by what a correct answer needs; absent groups are left out. */
  readonly byGrounding: Readonly<Record<string, Interval & { readonly samples: number }>>;
}

/** All explainers of one model on one dataset. */
export interface GroupSummary {
  readonly model: string;
  readonly dataset: string;
  readonly samples: number;
  readonly accuracy: number;
  readonly explainers: readonly ExplainerSummary[];
  /** Kendall tau-b between the explainers' mean image SRG and mean text SRG. */
  readonly unimodalTau: number;
  /** Spearman correlation of a row's F_syn with its Shapley interaction index, same variant on both sides. */
  readonly synergyAgainstShapley: {
    readonly rows: number;
    readonly raw: number;
    readonly insertion: number;
    readonly deletion: number;
    /** Without the shared endpoint s = 1, where all three coincide by definition. */
    readonly rawWithoutEndpoint: number;
  };
  /** Differences of raw F_syn on the same grounded samples, with paired bootstrap intervals. */
  readonly separation: readonly {
    readonly better: string;
    readonly worse: string;
    readonly difference: Interval;
  }[];
}

export interface SummaryOptions {
  readonly resamples: number;
  readonly seed: number;
}

/** The numbers of a row that summaries need; rows themselves are not kept. */
interface Digest {
  readonly sample: string;
  readonly explainer: string;
  readonly grounding: string | null;
  readonly correct: boolean;
  readonly raw: number;
  readonly insertion: number;
  readonly deletion: number;
  readonly normalised: number;
  readonly clipped: number;
  readonly imageSrg: number;
  readonly textSrg: number;
  readonly shapley: number | null;
  readonly shapleyWithoutEndpoint: number | null;
  readonly rawWithoutEndpoint: number;
}

interface Group {
  readonly model: string;
  readonly dataset: string;
  readonly rows: Map<string, Digest[]>;
  readonly failures: Map<string, number>;
}

/** Name of the group that pools a model's datasets. */
export const pooledName = 'all datasets';

/**
 * Aggregates rows per model and dataset, in the order in which they appear; a model with several datasets also gets a first
 * group that pools their samples.
 */
export function summarise(records: Iterable<BenchmarkRecord>, options: SummaryOptions): GroupSummary[] {
  const groups = new Map<string, Group>();
  for (const record of records) {
    const key = JSON.stringify([record.model, record.dataset]);
    let group = groups.get(key);
    if (!group) {
      group = { model: record.model, dataset: record.dataset, rows: new Map(), failures: new Map() };
      groups.set(key, group);
    }
    const rows = group.rows.get(record.explainer) ?? [];
    group.rows.set(record.explainer, rows);
    if (record.status === 'ok') rows.push(digest(record));
    else group.failures.set(record.explainer, (group.failures.get(record.explainer) ?? 0) + 1);
  }
  return pooled([...groups.values()]).map((group) => summariseGroup(group, options));
}

function pooled(groups: readonly Group[]): Group[] {
  const models = [...new Set(groups.map((group) => group.model))];
  return models.flatMap((model) => {
    const own = groups.filter((group) => group.model === model);
    if (own.length < 2) return own;
    const all: Group = { model, dataset: pooledName, rows: new Map(), failures: new Map() };
    for (const { dataset, rows, failures } of own) {
      for (const [explainer, digests] of rows) {
        // Equal sample ids of different datasets are different samples.
        const named = digests.map((row) => ({ ...row, sample: JSON.stringify([dataset, row.sample]) }));
        all.rows.set(explainer, [...(all.rows.get(explainer) ?? []), ...named]);
      }
      for (const [explainer, count] of failures)
        all.failures.set(explainer, (all.failures.get(explainer) ?? 0) + count);
    }
    return [all, ...own];
  });
}

function digest(record: MeasuredRecord): Digest {
  const { synergy, shapley, steps } = record;
  const mean = synergy.insertion.map((value, i) => (value + synergy.deletion[i]) / 2);
  return {
    sample: record.sample,
    explainer: record.explainer,
    grounding: record.grounding,
    correct: record.answer.correct,
    raw: synergy.raw.mean,
    insertion: synergy.raw.insertion,
    deletion: synergy.raw.deletion,
    normalised: synergy.normalised.mean,
    clipped: synergy.clipped.mean,
    imageSrg: record.image.srg,
    textSrg: record.text.srg,
    shapley: shapley?.auc ?? null,
    shapleyWithoutEndpoint: shapley && shapley.auc - lastHalfStep(steps, shapley.curve),
    rawWithoutEndpoint: synergy.raw.mean - lastHalfStep(steps, mean),
  };
}

/** What the curve's last point alone contributes to its trapezoid area. */
function lastHalfStep(steps: readonly number[], curve: readonly number[]): number {
  const last = steps.length - 1;
  return ((steps[last] - steps[last - 1]) / 2) * curve[last];
}

function summariseGroup(group: Group, options: SummaryOptions): GroupSummary {
  const all = [...group.rows.values()].flat();
  const explainers = Array.from(group.rows, ([explainer, rows]) =>
    summariseExplainer(explainer, rows, group.failures.get(explainer) ?? 0, options),
  );
  const correctBySample = new Map(all.map((row) => [row.sample, row.correct]));
  const correct = [...correctBySample.values()].filter(Boolean).length;
  const withShapley = all.filter((row) => row.shapley !== null);
  const shapley = withShapley.map((row) => row.shapley!);
  return {
    model: group.model,
    dataset: group.dataset,
    samples: correctBySample.size,
    accuracy: correctBySample.size > 0 ? correct / correctBySample.size : Number.NaN,
    explainers,
    unimodalTau: kendall(
      explainers.map((row) => row.imageSrg.estimate),
      explainers.map((row) => row.textSrg.estimate),
    ),
    synergyAgainstShapley: {
      rows: withShapley.length,
      raw: spearman(
        withShapley.map((row) => row.raw),
        shapley,
      ),
      insertion: spearman(
        withShapley.map((row) => row.insertion),
        shapley,
      ),
      deletion: spearman(
        withShapley.map((row) => row.deletion),
        shapley,
      ),
      rawWithoutEndpoint: spearman(
        withShapley.map((row) => row.rawWithoutEndpoint),
        withShapley.map((row) => row.shapleyWithoutEndpoint!),
      ),
    },
    separation: separations(group.rows, options),
  };
}

function summariseExplainer(
  explainer: string,
  rows: readonly Digest[],
  failures: number,
  options: SummaryOptions,
): ExplainerSummary {
  const interval = (values: readonly number[]) => bootstrapMean(values, options);
  const shapley = rows.flatMap((row) => (row.shapley === null ? [] : [row.shapley]));
  const byGrounding: Record<string, Interval & { samples: number }> = {};
  for (const grounding of ['grounded', 'text-prior', 'image-prior']) {
    const values = rows.filter((row) => row.grounding === grounding).map((row) => row.raw);
    if (values.length > 0) byGrounding[grounding] = { ...interval(values), samples: values.length };
  }
  return {
    explainer,
    samples: rows.length,
    failures,
    synergyRaw: interval(rows.map((row) => row.raw)),
    synergyNormalised: interval(rows.map((row) => row.normalised)),
    synergyClipped: interval(rows.map((row) => row.clipped)),
    imageSrg: interval(rows.map((row) => row.imageSrg)),
    textSrg: interval(rows.map((row) => row.textSrg)),
    shapley: interval(shapley),
    shapleySamples: shapley.length,
    byGrounding,
  };
}

/** The controls must be told apart where image and question are both needed: Oracle > Random > Anti-Oracle. */
function separations(rows: ReadonlyMap<string, readonly Digest[]>, options: SummaryOptions) {
  const pairs = [
    ['oracle', 'random'],
    ['random', 'anti-oracle'],
  ];
  return pairs.flatMap(([better, worse]) => {
    const one = new Map(
      (rows.get(better) ?? [])
        .filter((row) => row.grounding === 'grounded')
        .map((row) => [row.sample, row.raw]),
    );
    const differences = (rows.get(worse) ?? []).flatMap((row) => {
      const value = one.get(row.sample);
      return value === undefined ? [] : [value - row.raw];
    });
    return differences.length > 0 ? [{ better, worse, difference: bootstrapMean(differences, options) }] : [];
  });
}

/** Rank 1 = largest value, as tables show it. */
export function descendingRanks(values: readonly number[]): Float64Array {
  return ranks(values.map((value) => -value));
}
