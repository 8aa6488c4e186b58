import { areaUnderCurve } from '../metrics/steps.js';
import { bootstrapMean, type Interval } from '../statistics/bootstrap.js';
import {
  type CorrelationPair,
  clusteredCorrelations,
  smallestCluster,
  withinClusterSpearman,
} from '../statistics/correlation.js';
import { kendall, spearman } from '../statistics/ranks.js';
import { intervalOfMeans, joinSmallStrata, resampleMeans } from '../statistics/resample.js';
import type { IndexQuestions, IndexRows } from './index-rows.js';
import type { PooledShapleyRow } from './pool.js';

export const variants = ['raw', 'normalised', 'clipped'] as const;
export type Variant = (typeof variants)[number];
export const parts = ['mean', 'insertion', 'deletion'] as const;
export type Part = (typeof parts)[number];

/** How one F_syn variant goes with the Shapley interaction index over rows. */
export interface VariantAgreement {
  readonly variant: Variant;
  readonly part: Part;
  /** The Shapley interaction index in the same variant: divided by the same scale, clipped at each step. */
  readonly spearman: Interval;
  readonly pearson: Interval;
  /** Both sides without the last step, where they are equal by definition. */
  readonly spearmanWithoutEndpoint: Interval;
  readonly pearsonWithoutEndpoint: Interval;
  /** Against the raw Shapley interaction index, which is what the paper's study did. */
  readonly spearmanAgainstRaw: number;
  readonly spearmanAgainstRawWithoutEndpoint: number;
}

/** Spearman correlation over rows at one step, raw on both sides. */
export interface StepAgreement {
  readonly step: number;
  readonly mean: Interval;
  readonly insertion: Interval;
  readonly deletion: Interval;
  /** The last step, where all are equal by definition. */
  readonly shared: boolean;
}

/** F_syn against the exact Shapley interaction index. */
export interface Agreement {
  readonly rows: number;
  readonly samples: number;
  /** What these samples need. */
  readonly questions: IndexQuestions;
  /** Rows with the index of samples that one modality answers, which are not compared. */
  readonly leftOut: number;
  /** Samples of which some row is not zero on both sides: dead rows agree about nothing. */
  readonly liveSamples: number;
  readonly variants: readonly VariantAgreement[];
  readonly steps: readonly StepAgreement[];
  /**
   * Mean over samples of the Spearman correlation between explainers of one sample, raw, without the shared
   * endpoint. `constant`: samples of three rows or more on which one side is the same for all explainers, so
   * that there is none.
   */
  readonly withinSample: Interval & { readonly samples: number; readonly constant: number };
  /** Kendall tau-b between explainers' mean F_syn and mean index over the samples on which all have both. */
  readonly explainerOrder: Interval & { readonly explainers: number; readonly samples: number };
  readonly points: readonly { explainer: string; synergy: number; shapley: number }[];
}

export interface AgreementOptions {
  readonly resamples: number;
  readonly seed: number;
}

/** Compares F_syn with the Shapley interaction index; null without rows that have it. */
export function agreement(
  { rows, questions, leftOut }: IndexRows,
  strata: Int32Array,
  steps: readonly number[],
  options: AgreementOptions,
): Agreement | null {
  if (rows.length === 0) return null;
  const units = [...new Set(rows.map((row) => row.unit))].sort((a, b) => a - b);
  const position = new Map(units.map((unit, i) => [unit, i]));
  const clusters = Int32Array.from(rows, (row) => position.get(row.unit)!);
  const context: Context = {
    rows,
    clusters,
    steps,
    options: { ...options, strata: joinSmallStrata(Int32Array.from(units, (unit) => strata[unit])) },
  };
  return {
    rows: rows.length,
    samples: units.length,
    questions,
    leftOut,
    liveSamples: new Set(rows.filter((row) => isLive(row, steps)).map((row) => row.unit)).size,
    variants: variantAgreements(context),
    steps: stepAgreement(context),
    withinSample: withinSample(context),
    explainerOrder: explainerOrder(context, units.length),
    points: rows.map((row) => ({
      explainer: row.explainer,
      synergy: area(steps, curveOf(row, 'raw', 'mean'), true),
      shapley: area(steps, row.shapley, true),
    })),
  };
}

function isLive(row: PooledShapleyRow, steps: readonly number[]): boolean {
  return area(steps, curveOf(row, 'raw', 'mean'), false) !== 0 || area(steps, row.shapley, false) !== 0;
}

interface Context {
  readonly rows: readonly PooledShapleyRow[];
  readonly clusters: Int32Array;
  readonly steps: readonly number[];
  readonly options: AgreementOptions & { readonly strata: Int32Array };
}

function curveOf(row: PooledShapleyRow, variant: Variant, part: Part): Float64Array {
  const insertion = inVariant(row.insertion, variant, row.scale);
  if (part === 'insertion') return insertion;
  const deletion = inVariant(row.deletion, variant, row.scale);
  return part === 'deletion' ? deletion : insertion.map((value, i) => (value + deletion[i]) / 2);
}

function inVariant(curve: Float64Array, variant: Variant, scale: number): Float64Array {
  if (variant === 'raw') return curve;
  if (variant === 'normalised') return curve.map((value) => value / scale);
  return curve.map((value) => Math.min(Math.max(value / scale, 0), 1));
}

/**
 * Trapezoidal area, with or without what the last point contributes. That is left out and not subtracted:
 * curves that differ in the last point only have equal areas without it.
 */
function area(steps: readonly number[], curve: Float64Array, endpoint: boolean): number {
  return areaUnderCurve(steps, endpoint ? curve : curve.with(-1, 0));
}

function variantAgreements(context: Context): VariantAgreement[] {
  const wanted = variants.flatMap((variant) => parts.map((part) => ({ variant, part })));
  const columns = wanted.map(({ variant, part }) => ({
    whole: variantColumns(context, variant, part, true),
    inner: variantColumns(context, variant, part, false),
  }));
  const pairs = columns.flatMap(({ whole, inner }) =>
    [whole, inner].flatMap(({ synergy, same }): CorrelationPair[] => [
      { kind: 'spearman', x: synergy, y: same },
      { kind: 'pearson', x: synergy, y: same },
    ]),
  );
  const found = clusteredCorrelations(pairs, context.clusters, context.options);
  return wanted.map(({ variant, part }, i) => ({
    variant,
    part,
    spearman: found[4 * i],
    pearson: found[4 * i + 1],
    spearmanWithoutEndpoint: found[4 * i + 2],
    pearsonWithoutEndpoint: found[4 * i + 3],
    spearmanAgainstRaw: spearman(columns[i].whole.synergy, columns[i].whole.raw),
    spearmanAgainstRawWithoutEndpoint: spearman(columns[i].inner.synergy, columns[i].inner.raw),
  }));
}

function variantColumns({ rows, steps }: Context, variant: Variant, part: Part, endpoint: boolean) {
  const column = (pick: (row: PooledShapleyRow) => Float64Array) =>
    Float64Array.from(rows, (row) => area(steps, pick(row), endpoint));
  return {
    synergy: column((row) => curveOf(row, variant, part)),
    same: column((row) => inVariant(row.shapley, variant, row.scale)),
    raw: column((row) => row.shapley),
  };
}

function stepAgreement({ rows, clusters, steps, options }: Context): StepAgreement[] {
  // At step 0 nothing is inserted or deleted and both sides are zero.
  const inner = steps.map((step, k) => ({ step, k })).slice(1);
  const pairs = inner.flatMap(({ k }) =>
    parts.map(
      (part): CorrelationPair => ({
        kind: 'spearman',
        x: Float64Array.from(rows, (row) => curveOf(row, 'raw', part)[k]),
        y: Float64Array.from(rows, (row) => row.shapley[k]),
      }),
    ),
  );
  const found = clusteredCorrelations(pairs, clusters, options);
  return inner.map(({ step, k }, i) => {
    const [mean, insertion, deletion] = found.slice(3 * i, 3 * i + 3);
    return { step, mean, insertion, deletion, shared: k === steps.length - 1 };
  });
}

function withinSample({ rows, clusters, steps, options }: Context) {
  const coefficients = withinClusterSpearman(
    Float64Array.from(rows, (row) => area(steps, curveOf(row, 'raw', 'mean'), false)),
    Float64Array.from(rows, (row) => area(steps, row.shapley, false)),
    clusters,
  );
  const { resamples, seed } = options;
  const sizes = new Map<number, number>();
  for (const cluster of clusters) sizes.set(cluster, (sizes.get(cluster) ?? 0) + 1);
  const comparable = [...sizes.values()].filter((size) => size >= smallestCluster).length;
  return {
    ...bootstrapMean(coefficients, { resamples, seed }),
    samples: coefficients.length,
    constant: comparable - coefficients.length,
  };
}

function explainerOrder({ rows, clusters, steps, options }: Context, samples: number) {
  const names = [...new Set(rows.map((row) => row.explainer))];
  const empty = () => names.map(() => new Float64Array(samples).fill(Number.NaN));
  const synergy = empty();
  const shapley = empty();
  for (const [i, row] of rows.entries()) {
    const column = names.indexOf(row.explainer);
    synergy[column][clusters[i]] = area(steps, curveOf(row, 'raw', 'mean'), true);
    shapley[column][clusters[i]] = area(steps, row.shapley, true);
  }
  const complete = Array.from({ length: samples }, (_, i) => i).filter((i) =>
    synergy.every((column) => !Number.isNaN(column[i])),
  );
  const keep = (columns: readonly Float64Array[]) =>
    columns.map((column) => Float64Array.from(complete, (i) => column[i]));
  const source = resampleMeans([...keep(synergy), ...keep(shapley)], {
    ...options,
    strata: joinSmallStrata(Int32Array.from(complete, (i) => options.strata[i])),
  });
  const k = names.length;
  return {
    ...intervalOfMeans(source, (means) =>
      complete.length === 0 ? Number.NaN : kendall(means.subarray(0, k), means.subarray(k)),
    ),
    explainers: k,
    samples: complete.length,
  };
}
