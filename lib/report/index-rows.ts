import type { Pool, PooledShapleyRow } from './pool.js';

/** What the samples of these rows need: image and question, that or unknown, or one of them only. */
export type IndexQuestions = 'grounded' | 'any' | 'prior';

/** The rows on which F_syn is compared with the exact Shapley interaction index. */
export interface IndexRows {
  readonly rows: readonly PooledShapleyRow[];
  readonly questions: IndexQuestions;
  /** Rows with the index that are not among them. */
  readonly leftOut: number;
}

/**
 * Rows of questions that one modality answers have no synergy to be found: beside others they only make a
 * correlation larger, so they are left out. Where there are no others they are all there is, and it is said.
 */
export function indexRows(pool: Pool): IndexRows {
  const kinds = pool.grounding;
  const all = pool.shapleyRows;
  const kept = all.filter(({ unit }) => kinds[unit] !== 'text-prior' && kinds[unit] !== 'image-prior');
  if (kept.length === 0) return { rows: all, questions: 'prior', leftOut: 0 };
  const grounded = kept.every(({ unit }) => kinds[unit] === 'grounded');
  return { rows: kept, questions: grounded ? 'grounded' : 'any', leftOut: all.length - kept.length };
}
