import { FsynError } from '../errors.js';
import type { ValueBounds } from '../metrics/bounds.js';
import { type Behaviour, behaviourOf } from '../metrics/modality.js';
import { type ChanceMeasures, chanceMeasures } from './chance-measures.js';
import { type MapTies, tiesOf } from './map-order.js';
import type { BenchmarkRecord, FailedRecord, MeasuredRecord } from './record.js';
import { checkRecord } from './record-check.js';
import { floorOf, type Measure, measures, normalisingScale, rowMeasures } from './row-measures.js';
import { type ScoreShape, scoreShape } from './suspicion.js';

export const curveNames = [
  'imageInsertion',
  'imageDeletion',
  'textInsertion',
  'textDeletion',
  'synergyInsertion',
  'synergyDeletion',
] as const;
export type CurveName = (typeof curveNames)[number];

/**
 * Running mean and sum of squared deviations of every point of a curve (Welford 1962, merged as Chan et al.
 * 1979).
 */
export class CurveMoments {
  count = 0;
  readonly mean: Float64Array;
  readonly squares: Float64Array;

  constructor(points: number) {
    this.mean = new Float64Array(points);
    this.squares = new Float64Array(points);
  }

  add(curve: readonly number[]): void {
    this.count++;
    for (let i = 0; i < curve.length; i++) {
      const before = curve[i] - this.mean[i];
      this.mean[i] += before / this.count;
      this.squares[i] += before * (curve[i] - this.mean[i]);
    }
  }

  merge(other: CurveMoments): void {
    const total = this.count + other.count;
    if (total === 0) return;
    for (let i = 0; i < this.mean.length; i++) {
      const difference = other.mean[i] - this.mean[i];
      this.mean[i] += (difference * other.count) / total;
      this.squares[i] += other.squares[i] + (difference ** 2 * this.count * other.count) / total;
    }
    this.count = total;
  }

  /** Standard error of the mean at a point; NaN for one curve. */
  standardError(point: number): number {
    return this.count > 1 ? Math.sqrt(this.squares[point] / (this.count - 1) / this.count) : Number.NaN;
  }
}

/** A row with the Shapley interaction index, with the curves that per-step comparisons need. */
export interface ShapleyRow {
  /** Index of the sample in its group. */
  readonly sample: number;
  readonly explainer: string;
  readonly shapley: Float64Array;
  readonly insertion: Float64Array;
  readonly deletion: Float64Array;
  /** What normalised variants are divided by. */
  readonly scale: number;
}

/** One explainer's numbers in a group: [samples] per measure, NaN where there is no measured row. */
class ExplainerDigest {
  readonly name: string;
  /** Empty until a row is measured. */
  readonly curves = new Map<CurveName, CurveMoments>();
  /** Samples of failed rows that no measured row superseded. */
  readonly failures = new Map<number, { code: string; message: string }>();
  /** Of measured rows, by sample. */
  readonly ties = new Map<number, MapTies>();
  /** Of explainers from outside. */
  readonly shapes: ScoreShape[] = [];
  /** Of measured rows whose values are not all exact, by sample. */
  readonly bounds = new Map<number, ValueBounds>();
  readonly #shapley = new Set<number>();
  readonly #columns = new Map<Measure, number[]>(measures.map((measure) => [measure, []]));

  constructor(name: string) {
    this.name = name;
  }

  isMeasured(sample: number): boolean {
    const raw = this.#columns.get('raw')!;
    return sample < raw.length && !Number.isNaN(raw[sample]);
  }

  hasShapley(sample: number): boolean {
    return this.#shapley.has(sample);
  }

  markShapley(sample: number): void {
    this.#shapley.add(sample);
  }

  set(sample: number, values: Readonly<Record<Measure, number>>): void {
    for (const [measure, column] of this.#columns) {
      while (column.length < sample) column.push(Number.NaN);
      column[sample] = values[measure];
    }
  }

  addCurve(name: CurveName, curve: readonly number[]): void {
    let moments = this.curves.get(name);
    if (!moments) {
      moments = new CurveMoments(curve.length);
      this.curves.set(name, moments);
    }
    moments.add(curve);
  }

  /** @param samples length of the result */
  column(measure: Measure, samples: number): Float64Array {
    const result = new Float64Array(samples).fill(Number.NaN);
    result.set(this.#columns.get(measure)!);
    return result;
  }
}

/** All rows of one model on one dataset. */
export class GroupDigest {
  readonly model: string;
  readonly dataset: string;
  readonly fingerprint: string;
  readonly datasetVersion: string;
  readonly explainers = new Map<string, ExplainerDigest>();
  readonly samples: string[] = [];
  readonly grounding: (string | null)[] = [];
  /** Whether the model answered as expected; null where no row was measured. */
  readonly correct: (boolean | null)[] = [];
  /**
   * f - v(image, none) - v(none, text) + z of every sample: what F_syn's last step is for every explainer.
   */
  readonly cornerDividend: number[] = [];
  /** What the model needed for its answer; null where no row was measured. */
  readonly behaviour: (Behaviour | null)[] = [];
  /** Random orders of every sample; null where there are none. */
  readonly chance: (ChanceMeasures | null)[] = [];
  readonly shapleyRows: ShapleyRow[] = [];
  readonly #index = new Map<string, number>();

  constructor(record: BenchmarkRecord) {
    this.model = record.model;
    this.dataset = record.dataset;
    this.fingerprint = record.modelFingerprint;
    this.datasetVersion = record.datasetVersion;
  }

  sampleIndex(record: BenchmarkRecord): number {
    let index = this.#index.get(record.sample);
    if (index === undefined) {
      index = this.samples.length;
      this.#index.set(record.sample, index);
      this.samples.push(record.sample);
      this.grounding.push(record.grounding ?? null);
      this.correct.push(null);
      this.cornerDividend.push(Number.NaN);
      this.behaviour.push(null);
      this.chance.push(null);
    }
    return index;
  }
}

export interface DigestOptions {
  /** Settings key to report on; needed when the rows hold several. */
  readonly settings?: string;
}

/**
 * Folds result rows, one after the other, into what a report needs: memory grows with a few numbers per row,
 * not with curves or attributions.
 */
export class ResultDigest {
  readonly groups = new Map<string, GroupDigest>();
  readonly #wanted: string | undefined;
  readonly #settings = new Map<string, { rows: number; where: string }>();
  versions: Readonly<Record<string, string>> = {};
  /** Fractions of the players at which all curves were taken; empty until a row is measured. */
  steps: readonly number[] = [];

  constructor({ settings }: DigestOptions = {}) {
    this.#wanted = settings;
  }

  /** Settings key of the rows that were taken. */
  get settings(): string {
    return this.#wanted ?? this.#settings.keys().next().value ?? '';
  }

  /**
   * Takes one row.
   *
   * @param where file and line, for messages
   * @returns whether the row counts: it has the wanted settings and is not superseded
   */
  add(record: BenchmarkRecord, where: string): boolean {
    checkRecord(record, where);
    const seen = this.#settings.get(record.settings);
    if (seen) seen.rows++;
    else this.#settings.set(record.settings, { rows: 1, where });
    if (record.settings !== this.settings) return false;
    this.versions = record.versions;
    const group = this.#group(record, where);
    let explainer = group.explainers.get(record.explainer);
    if (!explainer) {
      explainer = new ExplainerDigest(record.explainer);
      group.explainers.set(record.explainer, explainer);
    }
    const sample = group.sampleIndex(record);
    if (record.status === 'failed') return takeFailed(explainer, sample, record);
    this.#requireSteps(record, where);
    return takeMeasured(group, explainer, sample, record, where);
  }

  /**
   * Ends reading.
   *
   * @throws FsynError RESULTS when there were no rows, or rows of several settings and none was chosen
   */
  finish(source: string): void {
    if (this.#settings.size === 0) throw new FsynError('RESULTS', `${source} holds no rows.`);
    const list = Array.from(
      this.#settings,
      ([key, { rows, where }]) => `${key} (${rows} rows, first at ${where})`,
    ).join('; ');
    if (this.#wanted === undefined && this.#settings.size > 1) {
      throw new FsynError(
        'RESULTS',
        `${source} holds rows of ${this.#settings.size} settings, which must not be mixed: ${list}. Choose one with --settings.`,
      );
    }
    if (this.groups.size === 0)
      throw new FsynError(
        'RESULTS',
        `${source} holds no rows with settings ${this.#wanted}; it has ${list}.`,
      );
  }

  #group(record: BenchmarkRecord, where: string): GroupDigest {
    const key = JSON.stringify([record.model, record.dataset]);
    let group = this.groups.get(key);
    if (!group) {
      group = new GroupDigest(record);
      this.groups.set(key, group);
    }
    for (const [what, known, got] of [
      ['model fingerprint', group.fingerprint, record.modelFingerprint],
      ['dataset version', group.datasetVersion, record.datasetVersion],
    ]) {
      if (known !== got) {
        throw new FsynError(
          'RESULTS',
          `${where}: ${record.model} on ${record.dataset} has ${what} ${got}, rows before it have ${known}; results of different ones must not be mixed.`,
        );
      }
    }
    return group;
  }

  #requireSteps(record: MeasuredRecord, where: string): void {
    if (this.steps.length === 0) this.steps = record.steps;
    const same =
      this.steps.length === record.steps.length && this.steps.every((step, i) => step === record.steps[i]);
    if (!same) {
      throw new FsynError(
        'RESULTS',
        `${where} has steps [${record.steps.join(', ')}], rows before it have [${this.steps.join(', ')}].`,
      );
    }
  }
}

function takeFailed(explainer: ExplainerDigest, sample: number, record: FailedRecord): boolean {
  // A sample may have been measured too, in a run that asked for more samples with the Shapley interaction
  // index.
  if (explainer.isMeasured(sample)) return false;
  explainer.failures.set(sample, record.error);
  return true;
}

/** Of two rows that differ in the Shapley interaction index only, the one that has it counts. */
function takeMeasured(
  group: GroupDigest,
  explainer: ExplainerDigest,
  sample: number,
  record: MeasuredRecord,
  where: string,
): boolean {
  const known = explainer.isMeasured(sample);
  if (known && explainer.hasShapley(sample) === (record.shapley !== null)) {
    throw new FsynError(
      'RESULTS',
      `${where} repeats the row of ${record.explainer} on sample ${JSON.stringify(record.sample)} (${record.model}, ${record.dataset}).`,
    );
  }
  if (!known) {
    explainer.failures.delete(sample);
    explainer.set(sample, rowMeasures(record));
    explainer.ties.set(sample, tiesOf(record));
    const shape = scoreShape(record);
    if (shape) explainer.shapes.push(shape);
    if (record.bounds) explainer.bounds.set(sample, record.bounds);
    const { image, text, synergy, corners } = record;
    const curves: Readonly<Record<CurveName, readonly number[]>> = {
      imageInsertion: image.insertion,
      imageDeletion: image.deletion,
      textInsertion: text.insertion,
      textDeletion: text.deletion,
      synergyInsertion: synergy.insertion,
      synergyDeletion: synergy.deletion,
    };
    for (const name of curveNames) explainer.addCurve(name, curves[name]);
    group.correct[sample] = record.answer.correct;
    group.cornerDividend[sample] = corners.full - corners.imageOnly - corners.textOnly + corners.empty;
    group.behaviour[sample] = behaviourOf(corners, floorOf(record));
    group.chance[sample] = chanceMeasures(record);
  }
  if (record.shapley) {
    explainer.markShapley(sample);
    group.shapleyRows.push({
      sample,
      explainer: record.explainer,
      shapley: Float64Array.from(record.shapley.curve),
      insertion: Float64Array.from(record.synergy.insertion),
      deletion: Float64Array.from(record.synergy.deletion),
      scale: normalisingScale(record),
    });
  }
  return record.shapley !== null || !known;
}
