import { behaviours } from '../metrics/modality.js';
import { decimal, interval } from '../text-table.js';
import { behaviourText } from './behaviour-text.js';
import { widened } from './bounded.js';
import type { ExplainerStyle } from './explainer-style.js';
import { bySynergy, type ReportTable } from './report-tables.js';
import type { ScopeAnalysis } from './scope.js';

// What a value of F_syn stands for: within which bounds it is known, what the model needed, how far above
// chance it is.

/**
 * Within which bounds F_syn is known where a server does not give every probability, or noisy ones; no row
 * where all are exact.
 */
export function boundTable({ explainers }: ScopeAnalysis, style: ExplainerStyle): ReportTable {
  return {
    head: [
      'explainer',
      'F_syn raw',
      'from',
      'to',
      'cells within bounds',
      'samples with such',
      'error of noise',
    ],
    body: bySynergy(explainers).flatMap(({ name, means, bounds, samples }) => {
      if (bounds === null) return [];
      const { low, high } = widened(bounds);
      return [
        [
          style.title(name),
          decimal(means.raw.estimate),
          decimal(low),
          decimal(high),
          `${bounds.bounded} of ${bounds.cells}`,
          `${bounds.samples} of ${samples}`,
          bounds.standardError.toPrecision(2),
        ],
      ];
    }),
  };
}

/** What a table of bounds says, in a sentence. */
export const boundNote =
  'The server does not give every probability, or not the same twice. A cell whose answer token is not among the tokens that came back ' +
  'has a probability between 0 and the least of these; F_syn is then within the ends given (exact for these cells, 1.96 errors of noise ' +
  'beside), and what stands elsewhere is its middle.';

/** Raw F_syn by what the model needed for its answer; no column for what no sample shows. */
export function behaviourTable({ explainers, behaviour }: ScopeAnalysis, style: ExplainerStyle): ReportTable {
  const kinds = behaviours.filter((kind) => behaviour[kind] > 0);
  return {
    head: ['explainer', ...kinds.map((kind) => `${behaviourText[kind]} (n=${behaviour[kind]})`)],
    body: bySynergy(explainers).map(({ name, byBehaviour }) => [
      style.title(name),
      ...kinds.map((kind) => (byBehaviour[kind] ? interval(byBehaviour[kind]) : '-')),
    ]),
  };
}

/** F_syn less chance, as a share of the way to the best order, and by halves; no rows without chance. */
export function chanceTable({ scale }: ScopeAnalysis, style: ExplainerStyle): ReportTable {
  const rows = [...(scale?.rows ?? [])].sort((a, b) => b.excess.estimate - a.excess.estimate);
  return {
    head: [
      'explainer',
      'above chance',
      'share of the way to the best',
      'above chance: without s = 1',
      'insertion',
      'deletion',
      'n',
    ],
    body: rows.map((row) => [
      style.title(row.name),
      interval(row.excess),
      interval(row.share, 2),
      interval(row.open),
      interval(row.insertion),
      interval(row.deletion),
      String(row.samples),
    ]),
  };
}
