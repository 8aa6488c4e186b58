import type { Estimate } from './moments.js';

/** Values between these have squares and sums of squares that are ordinary numbers. */
const [SMALL, LARGE] = [2 ** -300, 2 ** 300];

/**
 * What to divide values by so that their squares neither overflow nor vanish: a power of two, 1 for ordinary
 * values.
 */
export function unitOf(values: Float64Array): number {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (largest === 0 || (largest > SMALL && largest < LARGE)) return 1;
  return 2 ** Math.floor(Math.log2(largest));
}

/**
 * Estimates from values in units of their size: indices are linear, so nothing but overflow is changed by it.
 */
export async function inUnit<Found extends Estimate>(
  values: Float64Array,
  estimate: (scaled: Float64Array, unit: number) => Found | Promise<Found>,
): Promise<Found> {
  const unit = unitOf(values);
  if (unit === 1) return estimate(values, unit);
  const found = await estimate(
    values.map((value) => value / unit),
    unit,
  );
  return {
    ...found,
    values: found.values.map((value) => value * unit),
    standardErrors: found.standardErrors.map((error) => error * unit),
  };
}
