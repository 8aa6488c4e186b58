import { FsynError } from '../errors.js';
import { resolveOptions } from '../options.js';
import { type AnalysisOptions, analyse } from './analysis.js';
import { type CurveMoments, type CurveName, curveNames, type GroupDigest, ResultDigest } from './digest.js';
import { type GalleryRecord, galleryKey, readGallery } from './gallery.js';
import { Pool } from './pool.js';
import type { BenchmarkRecord, MeasuredRecord } from './record.js';
import type { ScopeAnalysis } from './scope.js';
import { type RunDescription, readRunDescription, readTimings, type Timings } from './sources.js';
import { findTelling, type TellingSample } from './telling.js';
import { readToldApart, type ToldApart } from './told-apart.js';
import { type Verdict, verdictOf } from './verdict.js';

/** One explainer's view of a gallery sample. */
export interface GalleryView {
  readonly explainer: string;
  readonly synergy: number;
  readonly imageSrg: number;
  readonly textSrg: number;
  readonly image: readonly number[];
  readonly text: readonly number[];
  readonly wordRegions?: MeasuredRecord['wordRegions'];
}

/** A sample that the report shows. */
export interface GallerySample {
  readonly picture: GalleryRecord;
  readonly question: string;
  readonly expected: string;
  readonly answer: string;
  readonly correct: boolean | null;
  readonly grounding: string | null;
  readonly family: string;
  readonly textLabels: readonly string[];
  readonly views: readonly GalleryView[];
}

/** One model: all datasets together, then each. */
export interface ModelReport {
  readonly model: string;
  readonly fingerprint: string;
  readonly overall: ScopeAnalysis;
  readonly datasets: readonly ScopeAnalysis[];
  readonly verdict: Verdict;
  /** Samples worth looking at. */
  readonly telling: readonly TellingSample[];
  /** Mean curves by explainer over all datasets. */
  readonly curves: ReadonlyMap<string, ReadonlyMap<CurveName, CurveMoments>>;
  readonly evaluation: { samples: number; cells: number; evaluateSeconds: number } | null;
}

/** Everything that the report's formats are made from. */
export interface Report {
  readonly source: string;
  readonly rows: number;
  readonly ignoredRows: number;
  readonly failedRows: number;
  readonly steps: readonly number[];
  readonly models: readonly ModelReport[];
  readonly titles: ReadonlyMap<string, string>;
  readonly gallery: readonly GallerySample[];
  /** Pictures in gallery.jsonl, of which only those with rows are shown. */
  readonly pictures: number;
  readonly run: RunDescription | null;
  readonly versions: Readonly<Record<string, string>>;
  readonly settingsKey: string;
  /** How far rankings were settled, where the run was to stop when they are; empty otherwise. */
  readonly toldApart: readonly ToldApart[];
  readonly datasetVersions: ReadonlyMap<string, string>;
  readonly resamples: number;
  readonly seed: number;
}

export interface ReportOptions {
  /** Bootstrap resamples of every interval. */
  readonly resamples: number;
  readonly seed: number;
  /** Settings key to report on, where the folder holds rows of several. */
  readonly settings: string | undefined;
  /** Report on the rows of these keys only, where the folder holds rows of several runs. */
  readonly keys: ReadonlySet<string> | undefined;
  readonly signal: AbortSignal | undefined;
}

const defaults: ReportOptions = {
  resamples: 2000,
  seed: 0,
  settings: undefined,
  keys: undefined,
  signal: undefined,
};

/**
 * Reads a results folder once and computes a report. Rows are folded as they come and never held.
 *
 * @param folder holds run.json, timings.jsonl and gallery.jsonl, each optional
 * @param records the folder's rows in file order
 * @param file name of the file with one row per line, for messages
 * @throws FsynError RESULTS for no rows, rows of several settings, models or versions, and damaged rows,
 *   naming file and line
 */
export async function buildReport(
  folder: string,
  records: Iterable<BenchmarkRecord>,
  file: string,
  options?: Partial<ReportOptions>,
): Promise<Report> {
  const { resamples, seed, settings, keys, signal } = resolveOptions('buildReport', defaults, options);
  const run = readRunDescription(folder);
  const timings = await readTimings(folder);
  const pictures = await readGallery(folder);
  const digest = new ResultDigest({ settings });
  const shown = new Map<string, DraftSample>();
  let line = 0;
  let taken = 0;
  for (const record of records) {
    line++;
    if (line % 1000 === 0) signal?.throwIfAborted();
    if (keys && !keys.has(record.key)) continue;
    if (!digest.add(record, `${file}:${line}`)) continue;
    taken++;
    showRow(shown, pictures, record, `${file}:${line}`);
  }
  digest.finish(file);
  const groups = [...digest.groups.values()];
  const names = [...new Set(groups.map((group) => group.model))];
  const models: ModelReport[] = [];
  for (const name of names) {
    signal?.throwIfAborted();
    const own = groups.filter((group) => group.model === name);
    models.push(await reportModel(name, own, timings, { resamples, seed, steps: digest.steps, signal }));
  }
  return {
    source: folder,
    rows: taken,
    ignoredRows: line - taken,
    failedRows: models.reduce(
      (sum, { overall }) => sum + overall.explainers.reduce((total, row) => total + row.failed, 0),
      0,
    ),
    steps: digest.steps,
    models,
    titles: new Map(run?.explainers?.map(({ name, title }) => [name, title ?? name]) ?? []),
    gallery: [...pictures.keys()].flatMap((key) => finishSample(shown.get(key))),
    pictures: pictures.size,
    run,
    versions: digest.versions,
    settingsKey: digest.settings,
    toldApart: readToldApart(folder),
    datasetVersions: new Map(groups.map((group) => [group.dataset, group.datasetVersion])),
    resamples,
    seed,
  };
}

async function reportModel(
  model: string,
  groups: readonly GroupDigest[],
  timings: Timings,
  { signal, ...options }: Omit<AnalysisOptions, 'explainSeconds'> & Pick<ReportOptions, 'signal'>,
): Promise<ModelReport> {
  const fingerprints = [...new Set(groups.map((group) => group.fingerprint))];
  if (fingerprints.length > 1) {
    throw new FsynError(
      'RESULTS',
      `Model ${model} has several fingerprints (${fingerprints.join(', ')}); results of different models must not be mixed.`,
    );
  }
  const scope = async (pool: Pool, dataset: string | null) => {
    // Statistics are long synchronous work; let an interrupt through between scopes.
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    return analyse(pool, dataset, { ...options, explainSeconds: timings.explainSeconds(model, dataset) });
  };
  const pool = new Pool(groups);
  const overall = await scope(pool, null);
  const datasets: ScopeAnalysis[] = [];
  if (groups.length > 1)
    for (const group of groups) datasets.push(await scope(new Pool([group]), group.dataset));
  else datasets.push({ ...overall, dataset: groups[0].dataset });
  const curves = new Map(
    pool.explainers.map((explainer) => [
      explainer,
      new Map(
        curveNames.flatMap((name): [CurveName, CurveMoments][] => {
          const moments = pool.curve(explainer, name);
          return moments ? [[name, moments]] : [];
        }),
      ),
    ]),
  );
  return {
    model,
    fingerprint: fingerprints[0],
    overall,
    datasets,
    verdict: verdictOf(overall),
    telling: findTelling(pool),
    curves,
    evaluation: timings.evaluation(model),
  };
}

type DraftSample = Omit<GallerySample, 'views'> & { views: Map<string, GalleryView> };

function showRow(
  shown: Map<string, DraftSample>,
  pictures: ReadonlyMap<string, GalleryRecord>,
  record: BenchmarkRecord,
  where: string,
): void {
  const key = galleryKey(record);
  const picture = pictures.get(key);
  if (!picture || record.status !== 'ok') return;
  const { attribution, textLabels } = record;
  if (
    4 * attribution.image.length !== picture.boxes.length ||
    attribution.text.length !== textLabels.length
  ) {
    throw new FsynError(
      'RESULTS',
      `${where} scores ${attribution.image.length} image and ${attribution.text.length} text players, but its picture has ${picture.boxes.length / 4} boxes and the row ${textLabels.length} labels.`,
    );
  }
  let draft = shown.get(key);
  if (!draft) {
    draft = {
      picture,
      question: record.question,
      expected: record.expected,
      answer: record.answer.text,
      correct: record.answer.correct,
      grounding: record.grounding,
      family: record.family,
      textLabels,
      views: new Map(),
    };
    shown.set(key, draft);
  }
  draft.views.set(record.explainer, {
    explainer: record.explainer,
    synergy: record.synergy.raw.mean,
    imageSrg: record.image.srg,
    textSrg: record.text.srg,
    image: attribution.image,
    text: attribution.text,
    ...(record.wordRegions && { wordRegions: record.wordRegions }),
  });
}

function finishSample(draft: DraftSample | undefined): GallerySample[] {
  return draft ? [{ ...draft, views: [...draft.views.values()] }] : [];
}
