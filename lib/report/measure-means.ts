import type { Interval } from '../statistics/bootstrap.js';
import { intervalOfMeans, type ResampledMeans, resampleMeans } from '../statistics/resample.js';
import type { Pool } from './pool.js';
import { type Measure, measures } from './row-measures.js';

/** How a scope is resampled: the same draws for every number, so that paired numbers stay paired. */
export interface Sampling {
  readonly resamples: number;
  readonly seed: number;
  readonly strata: Int32Array;
}

/** The mean of an explainer's measure, over all samples or over one resample of them. */
export type MeanOf = (name: string, measure: Measure) => number;

/** Every measure of every explainer of a pool, with the means over shared resamples of its units. */
export class MeasureMeans {
  readonly #columns = new Map<string, { readonly values: Float64Array; readonly position: number }>();
  readonly #source: ResampledMeans;

  constructor(pool: Pool, sampling: Sampling) {
    for (const name of pool.explainers) {
      for (const measure of measures) {
        const position = this.#columns.size;
        this.#columns.set(keyOf(name, measure), { values: pool.column(name, measure), position });
      }
    }
    this.#source = resampleMeans(
      Array.from(this.#columns.values(), ({ values }) => values),
      sampling,
    );
  }

  /** [units], NaN where the explainer has no measured row. */
  values(name: string, measure: Measure): Float64Array {
    return this.#columns.get(keyOf(name, measure))!.values;
  }

  isMeasured(name: string): boolean {
    return !this.values(name, 'raw').every(Number.isNaN);
  }

  mean(name: string, measure: Measure): Interval {
    return this.intervalOf((meanOf) => meanOf(name, measure));
  }

  /**
   * Interval of a statistic of the means: a difference, a rank, a correlation. NaN where it does not exist.
   */
  intervalOf(statistic: (meanOf: MeanOf) => number): Interval {
    return intervalOfMeans(this.#source, (means) =>
      statistic((name, measure) => means[this.#columns.get(keyOf(name, measure))!.position]),
    );
  }
}

function keyOf(name: string, measure: Measure): string {
  return `${measure} ${name}`;
}
