import type { Attribution } from '../cells/attribution.js';
import { rankAttribution } from '../cells/ranking.js';
import { CellTable } from '../cells/table.js';
import { cellValues } from '../cells/values.js';
import { type Choosable, chooseSpread, outlineOf } from '../datasets/choose.js';
import type { Dataset, Sample } from '../datasets/types.js';
import { FsynError } from '../errors.js';
import type { Explainer } from '../explainers/types.js';
import { evaluate, explain } from '../measure/evaluate.js';
import { requestQuantileShapley, scoreQuantileShapley } from '../metrics/quantile-shapley.js';
import { defaultSteps } from '../metrics/steps.js';
import { resolveOptions } from '../options.js';
import { deriveSeed } from '../statistics/random.js';
import { spearman } from '../statistics/ranks.js';
import { mapTruth } from '../vlm/truth.js';
import type { PreparedSample, Vlm } from '../vlm/types.js';
import { type Arm, medianArms, programOf, timeArms } from './arms.js';

/**
 * How well a cheaper number ranks attributions like the Shapley interaction index of the published protocol.
 */
export interface Agreement {
  readonly variant: string;
  readonly spearman: number;
  /**
   * Without the endpoint s = 1, where F_syn and the index coincide by definition; NaN where that has no
   * meaning.
   */
  readonly withoutEndpoint: number;
}

export interface SpeedupReport {
  readonly model: string;
  readonly dataset: string;
  /** Attributions timed, and attributions in the correlations. */
  readonly timed: number;
  readonly correlated: number;
  /** Samples that these are of, and samples left out because one modality answers their questions. */
  readonly samples: number;
  readonly leftOut: number;
  /** Medians over the timed attributions. */
  readonly arms: readonly Arm[];
  readonly agreement: readonly Agreement[];
}

export interface SpeedupOptions {
  readonly model: Vlm | undefined;
  readonly dataset: Dataset | undefined;
  readonly explainers: readonly Explainer[];
  /**
   * Attributions whose arms are all run and timed; the others only enter the correlations, by the planned
   * way.
   */
  readonly timed: number;
  /** Background groups of the Shapley interaction index. */
  readonly groups: number;
  readonly seed: number;
  /** Bytes that the forward passes of every arm may use; undefined for the default. */
  readonly memory: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number) => void;
}

const defaults: SpeedupOptions = {
  model: undefined,
  dataset: undefined,
  explainers: [],
  timed: 2,
  groups: 6,
  seed: 0,
  memory: undefined,
  signal: undefined,
  onProgress: () => {},
};

/**
 * Measures the claim of arXiv 2605.22168 that F_syn costs 1/24 of the exact Shapley interaction index and
 * ranks alike: both metrics as published and both planned, on the same attributions in one run (see
 * `timeArms`), and the rank correlation of every variant of F_syn with the index over all attributions.
 */
export async function measureSpeedup(options: Partial<SpeedupOptions>): Promise<SpeedupReport> {
  const run = resolveOptions('measureSpeedup', defaults, options);
  const { model, dataset, explainers, groups, seed, memory, signal } = run;
  if (!model || !dataset || explainers.length === 0) {
    throw new FsynError('INVALID_ARGUMENT', 'Expected a model, a dataset and at least one explainer.');
  }
  const timings: Arm[][] = [];
  const rows: Row[] = [];
  const { measured, timed } = await chooseSamples(dataset, run);
  for await (const sample of dataset.samples()) {
    if (!measured.has(sample.id)) continue;
    const turn = timings.length % explainers.length;
    const prepared = await prepareSample(model, dataset, sample, signal);
    for (const [number, explainer] of explainers.entries()) {
      signal?.throwIfAborted();
      const attribution = await explain(prepared, explainer, {
        seed: deriveSeed(seed, sample.id, explainer.name),
        truth: sample.truth && mapTruth(sample.truth, prepared),
        signal,
      });
      const shapley = { groups, partitions: 1, seed: deriveSeed(seed, 'shapley', sample.id) };
      const chosen = timed.has(sample.id) && number === turn;
      if (chosen) timings.push(await timeArms(programOf(prepared), attribution, shapley, { memory, signal }));
      rows.push(await correlationRow(prepared, attribution, shapley, signal));
      run.onProgress(rows.length, measured.size * explainers.length);
    }
  }
  return {
    model: model.name,
    dataset: dataset.name,
    timed: timings.length,
    correlated: rows.length,
    samples: measured.size,
    leftOut: dataset.size - measured.size,
    arms: medianArms(timings),
    agreement: agreements(rows),
  };
}

/**
 * Samples that one modality answers have no synergy and no index to correlate, so they are left out where
 * there are others. The timed ones are chosen by a hash, so that short and long questions are among them.
 */
async function chooseSamples(dataset: Dataset, { timed, seed, signal }: SpeedupOptions) {
  const outline = await outlineOf(dataset, signal);
  const joint = outline.filter(({ grounding }) => grounding === undefined || grounding === 'grounded');
  const measured = joint.length > 0 ? joint : outline;
  const ids = (chosen: readonly Choosable[]) => new Set(chosen.map(({ id }) => id));
  return { measured: ids(measured), timed: ids(chooseSpread(measured, { limit: timed, seed })) };
}

async function prepareSample(model: Vlm, dataset: Dataset, sample: Sample, signal: AbortSignal | undefined) {
  return model.prepare(await sample.image(), sample.question, {
    ...dataset.masking,
    instruction: sample.instruction,
    choices: sample.choices,
    signal,
  });
}

/**
 * The numbers of one attribution that are correlated over attributions; `Inner` ones lack the endpoint s = 1.
 */
interface Row {
  readonly shapley: number;
  readonly shapleyInner: number;
  readonly quantile: number;
  readonly raw: number;
  readonly rawInner: number;
  readonly insertion: number;
  readonly deletion: number;
  readonly normalised: number;
  readonly clipped: number;
}

async function correlationRow(
  prepared: PreparedSample,
  attribution: Attribution,
  options: { groups: number; partitions: number; seed: number },
  signal: AbortSignal | undefined,
): Promise<Row> {
  const [result] = await evaluate(prepared, [attribution], { shapley: options, signal });
  const { synergy, shapley } = result;
  const table = new CellTable(prepared.imagePlayers.count, prepared.textPlayers.count);
  const request = requestQuantileShapley(table, rankAttribution(table, attribution));
  const values = cellValues(await prepared.evaluate(table, { signal }), 'probability');
  const last = defaultSteps.length - 1;
  // The last point's share of the trapezoid area: half a step of .1.
  const endpoint = (curve: ArrayLike<number>) => 0.05 * curve[last];
  return {
    shapley: shapley!.auc,
    shapleyInner: shapley!.auc - endpoint(shapley!.curve),
    quantile: scoreQuantileShapley(request, values).auc,
    raw: synergy.raw.mean,
    rawInner: synergy.raw.mean - (endpoint(synergy.insertion) + endpoint(synergy.deletion)) / 2,
    insertion: synergy.raw.insertion,
    deletion: synergy.raw.deletion,
    normalised: synergy.normalised.mean,
    clipped: synergy.clipped.mean,
  };
}

function agreements(rows: readonly Row[]): Agreement[] {
  const column = (key: keyof Row) => rows.map((row) => row[key]);
  const against = (variant: string, key: keyof Row, inner?: keyof Row): Agreement => ({
    variant,
    spearman: spearman(column(key), column('shapley')),
    withoutEndpoint: inner ? spearman(column(inner), column('shapleyInner')) : Number.NaN,
  });
  return [
    against('F_syn raw', 'raw', 'rawInner'),
    against('F_syn raw, insertion', 'insertion'),
    against('F_syn raw, deletion', 'deletion'),
    against('F_syn normalised', 'normalised'),
    against('F_syn clipped (the paper’s tables)', 'clipped'),
    against('SII of rank quantiles', 'quantile'),
  ];
}
