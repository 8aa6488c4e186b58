import type { Report } from './report.js';
import type { ScopeAnalysis } from './scope.js';
import type { Verdict } from './verdict.js';

/** The statistics of one model, as `summary.json` holds them. */
export interface ModelSummary {
  readonly model: string;
  readonly fingerprint: string;
  readonly verdict: Verdict;
  /** All datasets together (`dataset` null), then each; the dataset alone where there is one. */
  readonly scopes: readonly ScopeAnalysis[];
}

/** Everything of a report that is not drawn: what its tables are printed from. */
export function summariseReport({ models }: Report): ModelSummary[] {
  return models.map(({ model, fingerprint, verdict, overall, datasets }) => ({
    model,
    fingerprint,
    verdict,
    scopes: datasets.length > 1 ? [overall, ...datasets] : datasets,
  }));
}

/** JSON text of a summary: typed arrays are lists, numbers that are missing are null. */
export function summaryJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_, part: unknown) => (part instanceof Float64Array ? Array.from(part) : part),
    indent,
  );
}
