import type { Attribution } from '../cells/attribution.js';
import { requestCorners } from '../cells/corners.js';
import { CellTable } from '../cells/table.js';
import { chooseSpread, outlineOf } from '../datasets/choose.js';
import type { Dataset, Sample } from '../datasets/types.js';
import { FsynError } from '../errors.js';
import type { Explainer } from '../explainers/types.js';
import type { EvaluationPlan } from '../inference/plan.js';
import { requestFaithfulness } from '../metrics/faithfulness.js';
import { resolveOptions } from '../options.js';
import { deriveSeed, Random } from '../statistics/random.js';
import type { PreparedSample, Vlm } from '../vlm/types.js';
import { refuseRepeated } from './names.js';
import { chooseSamples } from './sample-choice.js';
import { metricOptions, prepareSample } from './sample-run.js';
import { type BenchmarkSettings, defaultSettings } from './settings.js';

/** Cells and states of one table. */
export interface CellCount {
  readonly cells: number;
  readonly imageStates: number;
  readonly textStates: number;
}

/** What one sample needs, for all explainers together. */
export interface SamplePlan extends CellCount {
  readonly sample: string;
  /** Whether the exact Shapley interaction index is measured too. */
  readonly shapley: boolean;
  /** The metrics' cells of one explainer alone. */
  readonly alone: CellCount;
  /**
   * Cells and image states if explainers shared nothing but the corners: rankings of few players coincide by
   * chance.
   */
  readonly bound: { readonly cells: number; readonly imageStates: number };
  /** Cells that explainers themselves ask for (occlusion), part of the counts above. */
  readonly explainerCells: number;
  /** Undefined where every cell is one run of the model (classifiers). */
  readonly plan: EvaluationPlan | undefined;
}

/** What a dataset needs on a model. */
export interface DatasetPlan {
  readonly model: string;
  readonly dataset: string;
  /**
   * Samples that the run would measure, how many of them with the Shapley interaction index, and how many
   * were planned.
   */
  readonly samples: number;
  readonly shapleySamples: number;
  readonly planned: number;
  readonly explainers: number;
  /** Explainers whose own forward and backward passes are not counted. */
  readonly uncounted: readonly string[];
  readonly perSample: readonly SamplePlan[];
  /**
   * The whole dataset, extrapolated from the planned samples; operations are undefined where costs are not
   * known.
   */
  readonly total: { readonly cells: number; readonly flops: number | undefined };
}

export interface DryRunOptions {
  readonly models: readonly Vlm[];
  readonly datasets: readonly Dataset[];
  readonly explainers: readonly Explainer[];
  readonly settings: Partial<BenchmarkSettings>;
  readonly shapleySamples: number;
  readonly shard: { readonly index: number; readonly count: number };
  /** Samples per dataset that are prepared and planned. */
  readonly planSamples: number;
  readonly signal: AbortSignal | undefined;
}

type ResolvedPlan = DryRunOptions & { readonly settings: BenchmarkSettings };

const defaults: DryRunOptions = {
  models: [],
  datasets: [],
  explainers: [],
  settings: {},
  shapleySamples: 0,
  shard: { index: 0, count: 1 },
  planSamples: 1,
  signal: undefined,
};

/**
 * What `runBenchmark` with the same options would evaluate, without evaluating it: some samples of every
 * dataset, chosen as samples for the gallery are, are prepared (which generates their answers) and planned.
 * Explainers are not run; rankings are drawn at random in their place, which is as expensive as rankings can
 * be up to coincidences (`bound` counts as if there were none).
 *
 * @throws FsynError INVALID_ARGUMENT; BUDGET where a sample does not fit into the models' memory budget
 */
export async function planBenchmark(options: Partial<DryRunOptions>): Promise<DatasetPlan[]> {
  const given = resolveOptions('planBenchmark', defaults, options);
  for (const part of ['models', 'datasets', 'explainers'] as const) {
    if (given[part].length === 0)
      throw new FsynError('INVALID_ARGUMENT', `Expected at least one of ${part} but received none.`);
    refuseRepeated(part, given[part]);
  }
  const run: ResolvedPlan = {
    ...given,
    settings: resolveOptions('settings', defaultSettings, given.settings),
  };
  const plans: DatasetPlan[] = [];
  for (const model of run.models)
    for (const dataset of run.datasets) plans.push(await planDataset(run, model, dataset));
  return plans;
}

async function planDataset(run: ResolvedPlan, model: Vlm, dataset: Dataset): Promise<DatasetPlan> {
  const { shard, shapleySamples, planSamples, settings, signal } = run;
  const outline = await outlineOf(dataset, signal);
  const mine = outline.filter((_, i) => i % shard.count === shard.index);
  const chosen = chooseSamples(outline, { shapley: shapleySamples, gallery: 0, seed: settings.seed });
  const withShapley = mine.filter(({ id }) => chosen.shapley.has(id)).length;
  const planned = new Set(
    chooseSpread(mine, { limit: planSamples, seed: settings.seed }).map(({ id }) => id),
  );
  const perSample: SamplePlan[] = [];
  for await (const sample of dataset.samples()) {
    signal?.throwIfAborted();
    if (!planned.has(sample.id)) continue;
    const prepared = await prepareSample({ model, dataset, sample, settings }, signal);
    if (withShapley < mine.length) perSample.push(await planSample(run, dataset, sample, prepared, false));
    if (withShapley > 0) perSample.push(await planSample(run, dataset, sample, prepared, true));
  }
  return {
    model: model.name,
    dataset: dataset.name,
    samples: mine.length,
    shapleySamples: withShapley,
    planned: planned.size,
    explainers: run.explainers.length,
    uncounted: run.explainers.filter(({ cells }) => cells === undefined).map(({ title }) => title),
    perSample,
    total: extrapolate(perSample, mine.length, withShapley),
  };
}

async function planSample(
  run: ResolvedPlan,
  dataset: Dataset,
  sample: Sample,
  prepared: PreparedSample,
  shapley: boolean,
): Promise<SamplePlan> {
  const { imagePlayers, textPlayers } = prepared;
  const newTable = () => new CellTable(imagePlayers.count, textPlayers.count);
  const options = metricOptions({ settings: run.settings, sample, dataset }, shapley);
  const table = newTable();
  const alone = newTable();
  for (const [number, explainer] of run.explainers.entries()) {
    const ranking = randomRanking(prepared, deriveSeed(run.settings.seed, 'dry-run', explainer.name));
    requestFaithfulness(table, ranking, options);
    if (number === 0) requestFaithfulness(alone, ranking, options);
  }
  const own = newTable();
  for (const explainer of run.explainers) {
    const asked = explainer.cells?.(imagePlayers.count, textPlayers.count);
    if (asked) for (const target of [own, table]) addCells(target, asked);
  }
  return {
    ...countOf(table),
    sample: sample.id,
    shapley,
    alone: countOf(alone),
    bound: boundOf(alone, run.explainers.length, own),
    explainerCells: own.cellCount,
    plan: await prepared.plan?.(table),
  };
}

function randomRanking(prepared: PreparedSample, seed: number): Attribution {
  const random = new Random(seed);
  return {
    image: Float64Array.from(random.permutation(prepared.imagePlayers.count)),
    text: Float64Array.from(random.permutation(prepared.textPlayers.count)),
  };
}

function countOf(table: CellTable): CellCount {
  return {
    cells: table.cellCount,
    imageStates: table.imageStateCount,
    textStates: table.textStateCount,
  };
}

function boundOf(alone: CellTable, explainers: number, own: CellTable) {
  const corners = new CellTable(alone.imagePlayers, alone.textPlayers);
  requestCorners(corners);
  const most = (key: 'cellCount' | 'imageStateCount') => {
    const shared = corners[key];
    return shared + explainers * (alone[key] - shared) + Math.max(0, own[key] - shared);
  };
  const states = 2 ** alone.imagePlayers;
  return {
    cells: Math.min(most('cellCount'), states * 2 ** alone.textPlayers),
    imageStates: Math.min(most('imageStateCount'), states),
  };
}

function addCells(table: CellTable, asked: CellTable): void {
  for (let cell = 0; cell < asked.cellCount; cell++) table.copyCell(asked, cell);
}

function extrapolate(
  perSample: readonly SamplePlan[],
  samples: number,
  withShapley: number,
): DatasetPlan['total'] {
  const mean = (shapley: boolean, value: (plan: SamplePlan) => number) => {
    const wanted = perSample.filter((plan) => plan.shapley === shapley);
    return wanted.length === 0 ? 0 : wanted.reduce((sum, plan) => sum + value(plan), 0) / wanted.length;
  };
  const total = (value: (plan: SamplePlan) => number) =>
    (samples - withShapley) * mean(false, value) + withShapley * mean(true, value);
  const flops = total(({ plan }) => plan?.flops?.total ?? Number.NaN);
  return {
    cells: Math.round(total(({ cells }) => cells)),
    flops: Number.isNaN(flops) ? undefined : flops,
  };
}
