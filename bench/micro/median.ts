import { quantile } from '../../lib/statistics/bootstrap.js';

export function median(values: readonly number[]): number {
  return quantile(Float64Array.from(values).sort(), 0.5);
}
