import { behaviours } from '../metrics/modality.js';
import { intervalOfMeans, joinSmallStrata, resampleMeans } from '../statistics/resample.js';
import { rocAucs } from '../statistics/separation.js';
import { isConstant } from './map-order.js';
import type { MeasureMeans, Sampling } from './measure-means.js';
import type { Pool } from './pool.js';
import type { ExplainerAnalysis, GroundingSeparation } from './scope.js';

/** What a correct answer needs, in the order of tables. */
const groundingKinds = ['grounded', 'text-prior', 'image-prior'] as const;

/** Mean of a column by what the data say that a correct answer needs. */
export function meansByGrounding(
  pool: Pool,
  values: Float64Array,
  sampling: Sampling,
): ExplainerAnalysis['byGrounding'] {
  return meansByKind(pool, pool.grounding, groundingKinds, values, sampling);
}

/** Mean of a column by what the model itself needed for its answer. */
export function meansByBehaviour(
  pool: Pool,
  values: Float64Array,
  sampling: Sampling,
): ExplainerAnalysis['byBehaviour'] {
  return meansByKind(pool, pool.behaviour, behaviours, values, sampling);
}

/** Mean of a column on the samples of every kind that it has values on. */
function meansByKind(
  pool: Pool,
  kinds: readonly (string | null)[],
  order: readonly string[],
  values: Float64Array,
  sampling: Sampling,
): ExplainerAnalysis['byGrounding'] {
  const result: Record<string, ExplainerAnalysis['byGrounding'][string]> = {};
  for (const kind of order) {
    const units = kinds.flatMap((own, i) => (own === kind && !Number.isNaN(values[i]) ? [i] : []));
    if (units.length === 0) continue;
    const source = resampleMeans([Float64Array.from(units, (i) => values[i])], {
      ...sampling,
      strata: joinSmallStrata(Int32Array.from(units, (i) => pool.strata[i])),
    });
    result[kind] = { ...intervalOfMeans(source, ([mean]) => mean), samples: units.length };
  }
  return result;
}

/** The grounded samples, and those of them that the Oracle controls know whole. */
export interface ControlSamples {
  /**
   * [units], 1 where the sample is grounded and no Oracle control says nothing of the image or of the words.
   */
  readonly known: Uint8Array;
  /** Grounded samples whose ground truth is in one modality only: half an Oracle is none. */
  readonly oneSided: number;
}

export function controlSamples(pool: Pool): ControlSamples {
  const maps = ['oracle', 'anti-oracle'].map((name) => pool.ties(name));
  const isHalf = (unit: number) => maps.some((ties) => ties.has(unit) && isConstant(ties.get(unit)!));
  const grounded = pool.grounding.map((kind) => kind === 'grounded');
  return {
    known: Uint8Array.from(grounded, (wanted, unit) => (wanted && !isHalf(unit) ? 1 : 0)),
    oneSided: grounded.filter((wanted, unit) => wanted && isHalf(unit)).length,
  };
}

/** ROC areas of grounded against prior questions by every score; empty without questions of both sorts. */
export function separations(
  pool: Pool,
  means: MeasureMeans,
  contenders: readonly string[],
  { resamples, seed }: Pick<Sampling, 'resamples' | 'seed'>,
): GroundingSeparation[] {
  const kinds: readonly (string | null)[] = groundingKinds;
  const units = pool.grounding.flatMap((kind, i) => (kinds.includes(kind) ? [i] : []));
  const isPositive = Uint8Array.from(units, (i) => (pool.grounding[i] === 'grounded' ? 1 : 0));
  if (!isPositive.includes(1) || !isPositive.includes(0)) return [];
  const wanted: { score: string; measure: GroundingSeparation['measure']; values: Float64Array }[] = [
    { score: 'corners', measure: 'corners', values: pool.cornerDividend },
  ];
  for (const measure of ['raw', 'normalised', 'clipped'] as const) {
    if (contenders.length > 0) {
      const columns = contenders.map((name) => means.values(name, measure));
      wanted.push({ score: 'explainers', measure, values: meanOfPresent(columns) });
    }
    for (const name of pool.explainers)
      wanted.push({ score: name, measure, values: means.values(name, measure) });
  }
  const columns = wanted.map(({ values }) => Float64Array.from(units, (i) => values[i]));
  const areas = rocAucs(columns, isPositive, { resamples, seed });
  return wanted.map(({ score, measure }, i) => ({ score, measure, auc: areas[i] }));
}

/** Per unit the mean of the columns that have a value, NaN where none has. */
function meanOfPresent(columns: readonly Float64Array[]): Float64Array {
  return columns[0].map((_, i) => {
    const present = columns.map((column) => column[i]).filter((value) => !Number.isNaN(value));
    return present.reduce((sum, value) => sum + value, 0) / present.length;
  });
}
