import type { ValueBounds } from '../metrics/bounds.js';

/** Within which bounds an explainer's mean raw F_syn is known, beside what sampling leaves open. */
export interface MeanBounds {
  /** Samples with a cell within bounds, and cells within bounds of all cells of these rows. */
  readonly samples: number;
  readonly bounded: number;
  readonly cells: number;
  /** Ends of the mean over all samples. */
  readonly low: number;
  readonly high: number;
  /** Standard error of the mean from the server's noise. */
  readonly standardError: number;
}

/**
 * Bounds of a mean: the means of the rows' ends; standard errors of samples add as squares, their requests
 * being others.
 *
 * @param raw F_syn by unit, NaN where there is no row
 */
export function meanBounds(raw: Float64Array, bounds: ReadonlyMap<number, ValueBounds>): MeanBounds | null {
  if (bounds.size === 0) return null;
  const rows = [...bounds.values()];
  const sum = (value: (row: ValueBounds) => number) => rows.reduce((total, row) => total + value(row), 0);
  const units = [...raw.entries()].filter(([, value]) => !Number.isNaN(value));
  const mean = (end: 'low' | 'high') =>
    units.reduce((total, [unit, value]) => total + (bounds.get(unit)?.mean[end] ?? value), 0) / units.length;
  return {
    samples: rows.filter(({ bounded }) => bounded > 0).length,
    bounded: sum(({ bounded }) => bounded),
    cells: sum(({ cells }) => cells),
    low: mean('low'),
    high: mean('high'),
    standardError: Math.sqrt(sum(({ standardError }) => standardError ** 2)) / units.length,
  };
}

/** The ends with the server's noise: 95 % of a normal deviation on either side. */
export function widened({ low, high, standardError }: MeanBounds): { low: number; high: number } {
  return { low: low - 1.96 * standardError, high: high + 1.96 * standardError };
}
