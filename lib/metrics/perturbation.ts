import type { Corners } from '../cells/corners.js';
import type { Ranking } from '../cells/ranking.js';
import type { CellTable } from '../cells/table.js';
import { areaUnderCurve, onlyTop, playersAtStep, withoutTop } from './steps.js';

/** The cells of one modality's insertion and deletion curves. */
export interface PerturbationRequest {
  readonly steps: readonly number[];
  /** Cell index per step. */
  readonly insertion: Int32Array;
  readonly deletion: Int32Array;
  /** Cells of the unperturbed input and of the input whose perturbed modality is all baseline. */
  readonly full: number;
  readonly baseline: number;
}

/** Insertion and deletion of one modality while the other stays complete. */
export interface PerturbationResult {
  readonly insertion: Float64Array;
  readonly deletion: Float64Array;
  readonly insertionAuc: number;
  readonly deletionAuc: number;
  /** (value - baseline) / max(|full - baseline|, floor), integrated. */
  readonly normalisedInsertionAuc: number;
  readonly normalisedDeletionAuc: number;
  /** Symmetric relevance gain: insertion AUC - deletion AUC (Blücher et al. 2024). */
  readonly srg: number;
  readonly normalisedSrg: number;
}

export interface NormalisationOptions {
  /**
   * Smallest denominator of normalised curves, so that a model that ignores its input does not blow noise up.
   */
  readonly floor: number;
  /**
   * Clip normalised values of steps above 0 to [0, 1] as the published code does; step 0 is never clipped.
   */
  readonly clip: boolean;
}

/** Requests the image curves: text complete, top image players inserted into or deleted from the image. */
export function requestImagePerturbation(
  table: CellTable,
  ranking: Ranking,
  corners: Corners,
  steps: readonly number[],
): PerturbationRequest {
  const cell = (present: Uint8Array) => table.cell(table.imageState(present), corners.fullText);
  return { ...curves(ranking.image, steps, cell), full: corners.full, baseline: corners.textOnly };
}

/** Requests the text curves: image complete, top text players inserted into or deleted from the question. */
export function requestTextPerturbation(
  table: CellTable,
  ranking: Ranking,
  corners: Corners,
  steps: readonly number[],
): PerturbationRequest {
  const cell = (present: Uint8Array) => table.cell(corners.fullImage, table.textState(present));
  return { ...curves(ranking.text, steps, cell), full: corners.full, baseline: corners.imageOnly };
}

function curves(ranking: Int32Array, steps: readonly number[], cell: (present: Uint8Array) => number) {
  const counts = steps.map((step) => playersAtStep(step, ranking.length));
  return {
    steps,
    insertion: Int32Array.from(counts, (count) => cell(onlyTop(ranking, count))),
    deletion: Int32Array.from(counts, (count) => cell(withoutTop(ranking, count))),
  };
}

/** Scores the curves from the values of the table's cells. */
export function scorePerturbation(
  request: PerturbationRequest,
  values: ArrayLike<number>,
  { floor, clip }: NormalisationOptions,
): PerturbationResult {
  const insertion = Float64Array.from(request.insertion, (cell) => values[cell]);
  const deletion = Float64Array.from(request.deletion, (cell) => values[cell]);
  const baseline = values[request.baseline];
  const scale = Math.max(Math.abs(values[request.full] - baseline), floor);
  const normalise = (curve: Float64Array) =>
    curve.map((value, i) => {
      const normalised = (value - baseline) / scale;
      return clip && request.steps[i] > 0 ? Math.min(Math.max(normalised, 0), 1) : normalised;
    });
  const area = (curve: Float64Array) => areaUnderCurve(request.steps, curve);
  const insertionAuc = area(insertion);
  const deletionAuc = area(deletion);
  const normalisedInsertionAuc = area(normalise(insertion));
  const normalisedDeletionAuc = area(normalise(deletion));
  return {
    insertion,
    deletion,
    insertionAuc,
    deletionAuc,
    normalisedInsertionAuc,
    normalisedDeletionAuc,
    srg: insertionAuc - deletionAuc,
    normalisedSrg: normalisedInsertionAuc - normalisedDeletionAuc,
  };
}
