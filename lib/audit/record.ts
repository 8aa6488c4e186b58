import type { CornerValues } from '../cells/corners.js';
import type { Behaviour, ModalityShares } from '../metrics/modality.js';

/** Version of the rows of an audit. */
export const auditSchema = 1;

/** What identifies a question on a model. */
export interface AuditHead {
  readonly schema: number;
  /** Content key: equal exactly when model, sample, settings and versions are. */
  readonly key: string;
  readonly model: string;
  readonly modelFingerprint: string;
  readonly dataset: string;
  readonly datasetVersion: string;
  readonly sample: string;
  readonly family: string;
  readonly grounding: string | null;
  readonly question: string;
  readonly expected: string;
}

/** One question on one model: the four corners and what they say. */
export interface AuditedRecord extends AuditHead {
  readonly status: 'ok';
  readonly answer: string;
  /** Null where there is no answer to judge. */
  readonly correct: boolean | null;
  readonly corners: CornerValues;
  readonly shares: ModalityShares;
  readonly behaviour: Behaviour;
  /** Corners known within bounds only, which leave the behaviour no choice; absent where all are exact. */
  readonly bounded?: number;
}

export interface FailedAudit extends AuditHead {
  readonly status: 'failed';
  readonly error: { readonly code: string; readonly message: string };
}

export type AuditRecord = AuditedRecord | FailedAudit;
