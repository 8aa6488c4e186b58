import type { Dataset, Sample } from '../datasets/types.js';
import type { Explainer, SampleIdentity } from '../explainers/types.js';
import { type RecordHead, recordSchema } from '../report/record.js';
import { deriveSeed } from '../statistics/random.js';
import type { Vlm } from '../vlm/types.js';
import type { ChosenSamples } from './sample-choice.js';
import type { SampleOutcome, SampleTask } from './sample-run.js';
import { type BenchmarkSettings, contentKey } from './settings.js';

/** What decides the rows of a sample besides model and data. */
export interface RowContext {
  readonly settings: BenchmarkSettings;
  readonly versions: Readonly<Record<string, string>>;
  readonly explainers: readonly Explainer[];
}

/** One sample on one model with all its explainers: the least that is measured by one machine. */
export interface SampleJob {
  /** Of the keys of all its rows: the same wherever it is made. */
  readonly id: string;
  readonly model: Vlm;
  readonly dataset: Dataset;
  readonly sample: Sample;
  readonly rows: SampleTask['wanted'];
  readonly gallery: boolean;
}

/** What a measured job was worth: rows, and how many of its cells were scored or found. */
export interface JobOutcome extends Omit<SampleOutcome, 'interrupted'> {
  readonly computed: number;
  readonly found: number;
}

/** Rows of equal settings and versions can be compared. */
export function settingsKey({ settings, versions }: Omit<RowContext, 'explainers'>): string {
  return contentKey({ ...settings, versions });
}

export function sampleJob(
  context: RowContext,
  model: Vlm,
  dataset: Dataset,
  sample: Sample,
  chosen: ChosenSamples,
): SampleJob {
  const settings = settingsKey(context);
  const shapley = chosen.shapley.has(sample.id);
  const asked = context.explainers.filter((one) => one.appliesTo?.(sample.truth) ?? true);
  const rows = asked.map((explainer) => {
    const identity = {
      schema: recordSchema,
      model: model.name,
      modelFingerprint: model.fingerprint,
      dataset: dataset.name,
      datasetVersion: dataset.version,
      sample: sample.id,
      explainer: explainer.name,
      ...fingerprintOf(explainer, { dataset: dataset.name, sample: sample.id }),
      settings,
    };
    const head: RecordHead = {
      ...identity,
      key: contentKey({ ...identity, shapley }),
      family: sample.family,
      grounding: sample.grounding ?? null,
      seed: deriveSeed(context.settings.seed, dataset.name, sample.id, explainer.name),
      versions: context.versions,
      question: sample.question,
      expected: sample.answer,
    };
    return { explainer, head, shapley };
  });
  return {
    id: contentKey(rows.map(({ head }) => head.key)),
    model,
    dataset,
    sample,
    rows,
    gallery: chosen.gallery.has(sample.id),
  };
}

/** What an explainer that is no part of fsyn is, and what it says where that is read from files. */
function fingerprintOf(
  explainer: Explainer,
  identity: SampleIdentity,
): { readonly explainerFingerprint?: string } {
  const fingerprint = explainer.fingerprintOf?.(identity) ?? explainer.fingerprint;
  return fingerprint === undefined ? {} : { explainerFingerprint: fingerprint };
}
