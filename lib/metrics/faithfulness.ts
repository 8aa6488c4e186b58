import type { Attribution } from '../cells/attribution.js';
import { type Corners, type CornerValues, cornerValues, requestCorners } from '../cells/corners.js';
import { rankAttribution } from '../cells/ranking.js';
import type { CellScores } from '../cells/scores.js';
import type { CellTable } from '../cells/table.js';
import { cellValues, referenceValues, type Scoring } from '../cells/values.js';
import { resolveOptions } from '../options.js';
import { boundsOf, type ValueBounds } from './bounds.js';
import {
  type PerturbationRequest,
  type PerturbationResult,
  requestImagePerturbation,
  requestTextPerturbation,
  scorePerturbation,
} from './perturbation.js';
import {
  requestShapley,
  type ShapleyOptions,
  type ShapleyRequest,
  type ShapleyResult,
  scoreShapley,
} from './shapley.js';
import { defaultSteps, validateSteps } from './steps.js';
import { requestSynergy, type SynergyRequest, type SynergyResult, scoreSynergy } from './synergy.js';

export interface FaithfulnessOptions {
  /** Fractions of the players, ascending from 0 to 1. */
  readonly steps: readonly number[];
  readonly scoring: Scoring;
  /**
   * `none` scores one decision token for all metrics and leaves normalised unimodal curves unclipped.
   * `reference` scores as the published code does: per metric the answer token that drops most, unimodal
   * curves clipped. Needs samples prepared with `answerTokens: 'all'`.
   */
  readonly compat: 'none' | 'reference';
  /** Smallest denominator of normalised curves. */
  readonly floor: number;
  /**
   * The exact Shapley interaction index beside F_syn, or null to leave its 2^(2 + groups) cells per step out.
   */
  readonly shapley: ShapleyOptions | null;
}

export const defaultFaithfulness: FaithfulnessOptions = {
  steps: defaultSteps,
  scoring: 'probability',
  compat: 'none',
  floor: 0.05,
  shapley: null,
};

/** All cells that one attribution's metrics want, as indices into the shared table. */
export interface FaithfulnessRequest {
  readonly options: FaithfulnessOptions;
  readonly corners: Corners;
  readonly image: PerturbationRequest;
  readonly text: PerturbationRequest;
  readonly synergy: SynergyRequest;
  readonly shapley: ShapleyRequest | null;
}

export interface FaithfulnessResult {
  readonly corners: CornerValues;
  readonly image: PerturbationResult;
  readonly text: PerturbationResult;
  readonly synergy: SynergyResult;
  readonly shapley: ShapleyResult | null;
  /** What is known within bounds only, or noisy, as with some servers; null where every value is exact. */
  readonly bounds: ValueBounds | null;
}

/**
 * Requests every metric of the paper for one attribution. Requests of several attributions on the same table
 * share cells: with 11 steps one attribution needs 76 cells on 20 image states where the published code runs
 * 118 forward passes.
 *
 * @throws FsynError ATTRIBUTION for scores that are not finite or not one per player; INVALID_ARGUMENT for
 *   bad options
 */
export function requestFaithfulness(
  table: CellTable,
  attribution: Attribution,
  options?: Partial<FaithfulnessOptions>,
): FaithfulnessRequest {
  const resolved = resolveOptions('requestFaithfulness', defaultFaithfulness, options);
  const { steps, shapley } = resolved;
  validateSteps(steps);
  const ranking = rankAttribution(table, attribution);
  const corners = requestCorners(table);
  return {
    options: resolved,
    corners,
    image: requestImagePerturbation(table, ranking, corners, steps),
    text: requestTextPerturbation(table, ranking, corners, steps),
    synergy: requestSynergy(table, ranking, corners, steps),
    shapley: shapley && requestShapley(table, ranking, corners, steps, shapley),
  };
}

/** The value of every cell that joint metrics see. */
export function jointValuesOf(
  { compat, scoring }: Pick<FaithfulnessOptions, 'compat' | 'scoring'>,
  { full, empty }: Pick<Corners, 'full' | 'empty'>,
  scores: CellScores,
): Float64Array {
  return compat === 'reference' ? referenceValues(scores, full, empty) : cellValues(scores, scoring);
}

/** Scores a request from the evaluated cells of its table. Pure: the same scores give the same bytes. */
export function scoreFaithfulness(request: FaithfulnessRequest, scores: CellScores): FaithfulnessResult {
  const { options, corners } = request;
  const reference = options.compat === 'reference';
  const valuesAgainst = (baseline: number) =>
    reference ? referenceValues(scores, corners.full, baseline) : cellValues(scores, options.scoring);
  const jointValues = jointValuesOf(options, corners, scores);
  const normalisation = { floor: options.floor, clip: reference };
  return {
    corners: cornerValues(corners, jointValues),
    image: scorePerturbation(request.image, valuesAgainst(corners.textOnly), normalisation),
    text: scorePerturbation(request.text, valuesAgainst(corners.imageOnly), normalisation),
    synergy: scoreSynergy(request.synergy, jointValues, options.floor),
    shapley: request.shapley && scoreShapley(request.shapley, jointValues),
    bounds: boundsOf(request, scores, reference ? 'probability' : options.scoring),
  };
}
