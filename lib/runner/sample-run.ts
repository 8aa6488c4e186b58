import { pathToFileURL } from 'node:url';
import type { Attribution, PlayerTruth, WordRegions } from '../cells/attribution.js';
import { requestCorners } from '../cells/corners.js';
import { tiedPairs } from '../cells/ranking.js';
import type { CellStore, EvaluateOptions } from '../cells/scores.js';
import { CellTable } from '../cells/table.js';
import type { Dataset, Sample } from '../datasets/types.js';
import { FsynError, reasonOf } from '../errors.js';
import type { Explainer } from '../explainers/types.js';
import { type Chance, requestChance, scoreChance } from '../metrics/chance.js';
import {
  type FaithfulnessRequest,
  type FaithfulnessResult,
  jointValuesOf,
  requestFaithfulness,
  scoreFaithfulness,
} from '../metrics/faithfulness.js';
import type { PerturbationResult } from '../metrics/perturbation.js';
import { plausibilityOf } from '../metrics/plausibility.js';
import type { ShapleyOptions } from '../metrics/shapley.js';
import type { SynergyRequest } from '../metrics/synergy.js';
import { packageInfo } from '../package.js';
import { type GalleryRecord, galleryRecord } from '../report/gallery.js';
import type {
  BenchmarkRecord,
  ChanceRecord,
  MeasuredRecord,
  PerturbationRecord,
  RecordHead,
} from '../report/record.js';
import { deriveSeed } from '../statistics/random.js';
import { isExpected } from '../vlm/answer/expected.js';
import { mapTruth } from '../vlm/truth.js';
import type { PreparedSample, Vlm } from '../vlm/types.js';
import { pictureFit } from './picture-fit.js';
import type { BenchmarkSettings } from './settings.js';

/** One sample on one model, to be measured for the explainers that have no row yet. */
export interface SampleTask {
  readonly model: Vlm;
  readonly dataset: Dataset;
  readonly sample: Sample;
  /** The explainers to run, each with the identifying part of its row. */
  readonly wanted: readonly { explainer: Explainer; head: RecordHead; shapley: boolean }[];
  readonly settings: BenchmarkSettings;
  /** Whether to draw the sample for the report's gallery. */
  readonly gallery: boolean;
  /** Where scores of cells outlive the process. */
  readonly store?: CellStore;
  /** The sample, where it has been prepared before. */
  readonly prepared?: PreparedSample | undefined;
}

export interface SampleOutcome {
  /** The sample's picture, when it was asked for and the sample could be prepared. */
  readonly picture: GalleryRecord | null;
  /** Why it could not be drawn: the report lacks it, the run loses nothing. */
  readonly pictureProblem?: string;
  readonly records: readonly BenchmarkRecord[];
  readonly cells: number;
  readonly imageStates: number;
  /** Seconds spent in each explainer, by name, and in the shared evaluation of all cells. */
  readonly explainSeconds: Readonly<Record<string, number>>;
  readonly evaluateSeconds: number;
  /** Batches that did not fit into memory and were halved. */
  readonly halvings: number;
  /** Whether scoring cells failed, so that the failed rows may be worth another try. */
  readonly interrupted: boolean;
}

interface Attributed {
  readonly head: RecordHead;
  readonly attribution: Attribution;
  readonly request: FaithfulnessRequest;
}

/**
 * Measures one sample: all explainers first, then all their cells at once (shared cells are run once), then
 * the scores. What fails becomes a failed row; only an abort and a memory budget that is too small are
 * thrown.
 */
export async function runSample(task: SampleTask, signal: AbortSignal | undefined): Promise<SampleOutcome> {
  const explainSeconds: Record<string, number> = {};
  let prepared: PreparedSample;
  try {
    prepared = task.prepared ?? (await prepareSample(task, signal));
  } catch (error) {
    signal?.throwIfAborted();
    throwBudget(error);
    const records = task.wanted.map(({ head }) => failedRow(head, error));
    return {
      records,
      picture: null,
      cells: 0,
      imageStates: 0,
      explainSeconds,
      evaluateSeconds: 0,
      halvings: 0,
      interrupted: false,
    };
  }

  const { truth, lost } = mappedTruth(task, prepared);
  const table = new CellTable(prepared.imagePlayers.count, prepared.textPlayers.count);
  const attributed: Attributed[] = [];
  const records = new Map<string, BenchmarkRecord>();
  let interrupted = false;
  const evaluate = async (cells: CellTable, options?: EvaluateOptions) => {
    try {
      return await prepared.evaluate(cells, { signal, store: task.store, ...options });
    } catch (error) {
      interrupted = true;
      throw error;
    }
  };
  for (const { explainer, head, shapley } of task.wanted) {
    const start = performance.now();
    try {
      if (explainer.needsTruth && lost !== undefined) throw lost;
      const attribution = await explainer.attribute({
        sample: prepared,
        identity: { dataset: task.dataset.name, sample: task.sample.id },
        truth,
        seed: head.seed,
        signal,
        evaluate,
      });
      const request = requestFaithfulness(table, attribution, metricOptions(task, shapley));
      attributed.push({ head, attribution, request });
    } catch (error) {
      signal?.throwIfAborted();
      records.set(head.key, failedRow(head, error));
    }
    explainSeconds[explainer.name] = (performance.now() - start) / 1000;
  }

  const chanceRequests = attributed.length > 0 ? chanceOf(task, table) : [];
  const start = performance.now();
  let halvings = 0;
  try {
    const scores = table.cellCount > 0 ? await evaluate(table) : null;
    halvings = scores?.halvings?.length ?? 0;
    const chance =
      scores && chanceRequests.length > 0
        ? chanceRecord(
            scoreChance(chanceRequests, jointValuesOf(task.settings, attributed[0].request.corners, scores)),
          )
        : undefined;
    for (const one of attributed) {
      if (!scores) continue;
      const record = measured(task, prepared, one, scoreFaithfulness(one.request, scores), truth);
      records.set(one.head.key, chance === undefined ? record : { ...record, chance });
    }
  } catch (error) {
    signal?.throwIfAborted();
    throwBudget(error);
    for (const { head } of attributed) records.set(head.key, failedRow(head, error));
  }
  return {
    records: task.wanted.map(({ head }) => records.get(head.key)!),
    ...(await pictureOf(task, prepared)),
    cells: table.cellCount,
    imageStates: table.imageStateCount,
    explainSeconds,
    evaluateSeconds: (performance.now() - start) / 1000,
    halvings,
    interrupted,
  };
}

/** Truth that no player carries, cropped away say, is lost to who looks at it; the others measure as ever. */
function mappedTruth(
  { sample }: SampleTask,
  prepared: PreparedSample,
): { readonly truth?: PlayerTruth; readonly lost?: unknown } {
  try {
    return sample.truth === undefined ? {} : { truth: mapTruth(sample.truth, prepared) };
  } catch (lost) {
    return { lost };
  }
}

/** Random orders of the sample, the same ones for every explainer. */
function chanceOf({ settings, dataset, sample }: SampleTask, table: CellTable): SynergyRequest[] {
  const orders = settings.chanceOrders ?? 0;
  if (orders === 0) return [];
  const seed = deriveSeed(settings.seed, 'chance', dataset.name, sample.id);
  return requestChance(table, requestCorners(table), settings.steps, { orders, seed });
}

function chanceRecord({ orders, insertion, deletion, best }: Chance): ChanceRecord {
  return { orders, insertion: Array.from(insertion), deletion: Array.from(deletion), best };
}

async function pictureOf(
  { gallery, model, dataset, sample }: SampleTask,
  prepared: PreparedSample,
): Promise<Pick<SampleOutcome, 'picture' | 'pictureProblem'>> {
  if (!gallery) return { picture: null };
  const identity = { model: model.name, dataset: dataset.name, sample: sample.id };
  try {
    return { picture: await galleryRecord(identity, prepared) };
  } catch (error) {
    return { picture: null, pictureProblem: reasonOf(error) };
  }
}

/**
 * A memory budget that is too small is a mistake of the run, not of the sample: the user is to change it and
 * resume.
 */
function throwBudget(error: unknown): void {
  if (error instanceof FsynError && error.code === 'BUDGET') throw error;
}

/** Prepares a sample as the run's settings and the dataset ask for it. */
export async function prepareSample(
  { model, dataset, sample, settings }: Pick<SampleTask, 'model' | 'dataset' | 'sample' | 'settings'>,
  signal: AbortSignal | undefined,
): Promise<PreparedSample> {
  const image = await sample.image();
  return model.prepare(image, sample.question, {
    baseline: settings.baseline ?? dataset.masking?.baseline,
    blurRadius: settings.blurRadius ?? dataset.masking?.blurRadius,
    blurUnit: settings.blurUnit ?? dataset.masking?.blurUnit,
    textMasking: settings.textMasking,
    includeInstruction: settings.includeInstruction,
    includeTemplate: settings.includeTemplate,
    instruction: sample.instructions?.[model.architecture] ?? sample.instruction,
    choices: sample.choices,
    decisionRule: settings.compat === 'reference' ? 'published' : 'words',
    answerTokens: settings.compat === 'reference' || settings.scoring === 'answer' ? 'all' : 'decision',
    signal,
  });
}

/** The metrics' options on one sample, with or without the Shapley interaction index. */
export function metricOptions(
  { settings, sample, dataset }: Pick<SampleTask, 'settings' | 'sample' | 'dataset'>,
  shapley: boolean,
) {
  const { steps, scoring, compat, floor } = settings;
  const partitions: ShapleyOptions = {
    groups: settings.shapleyGroups,
    partitions: settings.shapleyPartitions,
    // Not the explainer's seed: explainers are compared on the same random partitions.
    seed: deriveSeed(settings.seed, 'shapley', dataset.name, sample.id),
  };
  return { steps, scoring, compat, floor, shapley: shapley ? partitions : null };
}

/** The row of an explainer that failed. */
export function failedRow(head: RecordHead, error: unknown): BenchmarkRecord {
  const code = error instanceof FsynError ? error.code : 'UNEXPECTED';
  return {
    ...head,
    status: 'failed',
    error: { code, message: reasonOf(error), ...stackOf(error) },
  };
}

/**
 * Where a failure that fsyn did not foresee comes from, for the author of the explainer. Paths are relative
 * to fsyn and to the working directory, so that rows are the same bytes on every machine.
 */
function stackOf(error: unknown): { readonly stack?: string } {
  const origin = error instanceof FsynError ? error.cause : error;
  if (!(origin instanceof Error) || origin.stack === undefined) return {};
  const places = [
    [pathToFileURL(packageInfo().root).href, 'fsyn:'],
    [packageInfo().root, 'fsyn:'],
    [pathToFileURL(process.cwd()).href, '.'],
    [process.cwd(), '.'],
  ];
  const text = places.reduce((stack, [place, name]) => stack.replaceAll(place, name), origin.stack);
  return { stack: text.split('\n').slice(0, 12).join('\n') };
}

function measured(
  { sample, settings }: SampleTask,
  prepared: PreparedSample,
  { head, attribution }: Attributed,
  result: FaithfulnessResult,
  truth: PlayerTruth | undefined,
): MeasuredRecord {
  const { answer, imagePlayers, textPlayers } = prepared;
  const { insertion, deletion, raw, normalised, clipped } = result.synergy;
  // What fsyn computes itself cannot be misread.
  const fit = head.explainerFingerprint === undefined ? undefined : pictureFit(attribution.image, prepared);
  return {
    ...head,
    status: 'ok',
    answer: {
      text: answer.text,
      decisionToken: answer.decisionToken,
      decisionIndex: answer.decisionIndex,
      decisionKind: answer.decisionKind,
      decision: answer.decision,
      correct: isExpected(answer, sample.answer),
    },
    players: {
      image: imagePlayers.count,
      imageRows: imagePlayers.rows,
      imageColumns: imagePlayers.columns,
      text: textPlayers.count,
    },
    textLabels: textPlayers.labels,
    attribution: { image: Array.from(attribution.image), text: Array.from(attribution.text) },
    ...(attribution.wordRegions && { wordRegions: wordRegionRecord(attribution.wordRegions) }),
    ties: { image: tiedPairs(attribution.image), text: tiedPairs(attribution.text) },
    ...(truth && { plausibility: plausibilityOf(attribution, truth) }),
    ...(fit && { pictureFit: fit }),
    steps: settings.steps,
    corners: result.corners,
    image: perturbationRecord(result.image),
    text: perturbationRecord(result.text),
    synergy: { insertion: Array.from(insertion), deletion: Array.from(deletion), raw, normalised, clipped },
    shapley: result.shapley && {
      curve: Array.from(result.shapley.curve),
      auc: result.shapley.auc,
      partitionDeviation: Number.isNaN(result.shapley.partitionDeviation)
        ? null
        : result.shapley.partitionDeviation,
    },
    ...(result.bounds === null ? {} : { bounds: result.bounds }),
  };
}

function wordRegionRecord({ regions, values, standardErrors }: WordRegions): MeasuredRecord['wordRegions'] {
  return {
    regions: Array.from(regions),
    values: Array.from(values),
    standardErrors: Array.from(standardErrors, (error) => (Number.isFinite(error) ? error : null)),
  };
}

function perturbationRecord(result: PerturbationResult): PerturbationRecord {
  return { ...result, insertion: Array.from(result.insertion), deletion: Array.from(result.deletion) };
}
