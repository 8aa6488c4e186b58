import type { CornerValues } from '../cells/corners.js';
import type { ValueBounds } from '../metrics/bounds.js';
import type { PlausibilityPair } from '../metrics/plausibility.js';
import type { SynergyAuc } from '../metrics/synergy.js';

/** Version of the result rows; rows of another version are never mixed with these. */
export const recordSchema = 1;

/** Insertion and deletion of one modality, as stored. */
export interface PerturbationRecord {
  readonly insertion: readonly number[];
  readonly deletion: readonly number[];
  readonly insertionAuc: number;
  readonly deletionAuc: number;
  readonly normalisedInsertionAuc: number;
  readonly normalisedDeletionAuc: number;
  readonly srg: number;
  readonly normalisedSrg: number;
}

/**
 * Share of the order of an image map, 0..1, that the picture's colours and contrast explain: with the scores
 * at their players, and with each tile's scores read column by column.
 */
export interface PictureFit {
  readonly declared: number;
  readonly transposed: number;
}

/** What identifies a row and what it was measured on. */
export interface RecordHead {
  readonly schema: number;
  /** Content key: equal exactly when model, sample, explainer, settings and versions are. */
  readonly key: string;
  readonly model: string;
  readonly modelFingerprint: string;
  readonly dataset: string;
  readonly datasetVersion: string;
  readonly sample: string;
  readonly family: string;
  readonly grounding: string | null;
  readonly explainer: string;
  /** Content hash of the explainer's file where it is no part of fsyn. */
  readonly explainerFingerprint?: string;
  readonly settings: string;
  readonly seed: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly question: string;
  readonly expected: string;
}

/** Mean dividends of several random orders at every step, and the largest raw F_syn among them. */
export interface ChanceRecord {
  readonly orders: number;
  readonly insertion: readonly number[];
  readonly deletion: readonly number[];
  readonly best: number;
}

/** A measured (sample, explainer, model). */
export interface MeasuredRecord extends RecordHead {
  readonly status: 'ok';
  readonly answer: {
    text: string;
    decisionToken: string;
    decisionIndex: number;
    decisionKind: string;
    /** The deciding word, number or letter, whole; not in rows of earlier versions. */
    decision?: string;
    /** Null where there is no answer to judge: a dual encoder's similarity. */
    correct: boolean | null;
  };
  readonly players: { image: number; imageRows: number; imageColumns: number; text: number };
  readonly textLabels: readonly string[];
  readonly attribution: { image: readonly number[]; text: readonly number[] };
  /** Pairs of regions and words, of explainers that have them. */
  readonly wordRegions?: {
    readonly regions: readonly number[];
    readonly values: readonly number[];
    /** Null where the error is infinite, which JSON has no number for. */
    readonly standardErrors: readonly (number | null)[];
  };
  /**
   * Share of the pairs of players with equal scores, 1 for a constant map; not in rows of earlier versions.
   */
  readonly ties?: { image: number; text: number };
  /** Against the sample's ground truth, where it has one; not in rows of earlier versions. */
  readonly plausibility?: PlausibilityPair;
  /** Of explainers from outside; absent where a map cannot show whether it is transposed. */
  readonly pictureFit?: PictureFit;
  readonly steps: readonly number[];
  readonly corners: CornerValues;
  readonly image: PerturbationRecord;
  readonly text: PerturbationRecord;
  readonly synergy: {
    insertion: readonly number[];
    deletion: readonly number[];
    raw: SynergyAuc;
    normalised: SynergyAuc;
    clipped: SynergyAuc;
  };
  /**
   * Null when the row was run without the Shapley interaction index; the deviation is null for one partition.
   */
  readonly shapley: { curve: readonly number[]; auc: number; partitionDeviation: number | null } | null;
  /**
   * What is known of the scores within bounds only, or noisy; absent where every value is exact, as in rows
   * of earlier versions.
   */
  readonly bounds?: ValueBounds;
  /** F_syn of random orders on this sample, the same for all explainers; only where it was asked for. */
  readonly chance?: ChanceRecord;
}

/** A (sample, explainer, model) that failed, with the reason. */
export interface FailedRecord extends RecordHead {
  readonly status: 'failed';
  readonly error: {
    readonly code: string;
    readonly message: string;
    /** Of failures that fsyn did not foresee, an explainer's bug say: where they come from. */
    readonly stack?: string;
  };
}

export type BenchmarkRecord = MeasuredRecord | FailedRecord;
