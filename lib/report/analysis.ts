import type { Interval } from '../statistics/bootstrap.js';
import { kendall, ranks } from '../statistics/ranks.js';
import {
  intervalOfMeans,
  joinSmallStrata,
  type ResampledMeans,
  resampleMeans,
} from '../statistics/resample.js';
import { rocAucs } from '../statistics/separation.js';
import { type FriedmanResult, friedmanTest } from '../statistics/tests.js';
import { agreement } from './agreement.js';
import { checkMetric } from './checks.js';
import { allPairs, comparePairs } from './comparison.js';
import { type Measure, measures } from './digest.js';
import { controlNames, type Pool, truthControls } from './pool.js';
import type { ExplainerAnalysis, GroundingSeparation, Rank, ScopeAnalysis } from './scope.js';

export interface AnalysisOptions {
  readonly resamples: number;
  readonly seed: number;
  /** Mean seconds per sample by explainer. */
  readonly explainSeconds: Readonly<Record<string, number>>;
  readonly steps: readonly number[];
}

/** Computes every statistic of a scope. Deterministic for a seed. */
export function analyse(pool: Pool, dataset: string | null, options: AnalysisOptions): ScopeAnalysis {
  const { resamples, seed, steps } = options;
  const sampling = { resamples, seed, strata: joinSmallStrata(pool.strata) };
  const names = pool.explainers;
  const columns = names.flatMap((name) => measures.map((measure) => pool.column(name, measure)));
  const source = resampleMeans(columns, sampling);
  const at = (name: string, measure: Measure) =>
    names.indexOf(name) * measures.length + measures.indexOf(measure);
  const shapleyRows = pool.shapleyRows;
  const measured = (name: string) => !columns[at(name, 'raw')].every(Number.isNaN);
  const ranked = names.filter((name) => !truthControls.includes(name) && measured(name));
  const complete = completeUnits(ranked.map((name) => columns[at(name, 'raw')]));
  const blocks = (measure: Measure) =>
    blockTest(
      ranked.map((name) => columns[at(name, measure)]),
      complete,
    );
  const friedman = { image: blocks('imageSrg'), text: blocks('textSrg'), synergy: blocks('raw') };
  const rankOf = rankIntervals(source, ranked, at);

  const explainers = names.map((name): ExplainerAnalysis => {
    const raw = columns[at(name, 'raw')];
    const position = ranked.indexOf(name);
    const rows = shapleyRows.filter((row) => row.explainer === name);
    const failures = pool.failures(name);
    return {
      name,
      control: controlNames.includes(name),
      samples: raw.filter((value) => !Number.isNaN(value)).length,
      failed: failures.reduce((sum, { count }) => sum + count, 0),
      failures,
      means: Object.fromEntries(
        measures.map((measure) => [measure, intervalOfColumn(source, at(name, measure))]),
      ) as Record<Measure, Interval>,
      ranks:
        position < 0
          ? null
          : {
              image: rankOf.imageSrg[position],
              text: rankOf.textSrg[position],
              synergy: rankOf.raw[position],
            },
      meanRanks:
        position < 0 || !friedman.synergy || !friedman.image || !friedman.text
          ? null
          : {
              image: friedman.image.meanRanks[position],
              text: friedman.text.meanRanks[position],
              synergy: friedman.synergy.meanRanks[position],
            },
      shapley:
        rows.length > 0
          ? {
              mean: rows.reduce((sum, row) => sum + areaOf(row.shapley, steps), 0) / rows.length,
              rows: rows.length,
            }
          : null,
      byGrounding: byGrounding(pool, raw, sampling),
      secondsPerSample: options.explainSeconds[name] ?? Number.NaN,
    };
  });

  const tau = (among: readonly string[]) =>
    intervalOfMeans(source, (means) => {
      const image = among.map((name) => means[at(name, 'imageSrg')]);
      const text = among.map((name) => means[at(name, 'textSrg')]);
      // As above: a mean of no rows has no place in an order.
      return [...image, ...text].some(Number.isNaN) ? Number.NaN : kendall(image, text);
    });
  const grounded = pool.grounding.map((kind) => kind === 'grounded');
  const compared = (name: string) => ({ name, values: columns[at(name, 'raw')] });
  const onGrounded = (name: string) => ({
    name,
    values: columns[at(name, 'raw')].map((value, i) => (grounded[i] ? value : Number.NaN)),
  });
  const controlPairs = [
    ['oracle', 'anti-oracle'],
    ['oracle', 'random'],
    ['random', 'anti-oracle'],
  ].filter((pair) => pair.every((name) => names.includes(name)));
  const scope = {
    model: pool.groups[0].model,
    dataset,
    samples: pool.units,
    accuracy: pool.accuracy,
    explainers,
    friedman: friedman.synergy,
    tau: {
      withRandom: tau(ranked),
      withoutRandom: tau(ranked.filter((name) => name !== 'random')),
      explainers: ranked.length,
    },
    pairs: comparePairs(allPairs(ranked.map(compared)), sampling),
    controls: comparePairs(
      controlPairs.map(([one, other]) => [onGrounded(one), onGrounded(other)] as const),
      sampling,
    ),
    separation: separations(pool, ranked, { resamples, seed }),
    agreement: agreement(shapleyRows, pool.strata, steps, { resamples, seed }),
  };
  return { ...scope, checks: checkMetric(scope) };
}

function intervalOfColumn(source: ResampledMeans, column: number): Interval {
  return intervalOfMeans(source, (means) => means[column]);
}

function areaOf(curve: Float64Array, steps: readonly number[]): number {
  let area = 0;
  for (let i = 1; i < steps.length; i++) area += ((curve[i] + curve[i - 1]) / 2) * (steps[i] - steps[i - 1]);
  return area;
}

/** Units on which every column has a value. */
function completeUnits(columns: readonly Float64Array[]): number[] {
  const units = Array.from({ length: columns[0]?.length ?? 0 }, (_, i) => i);
  return units.filter((i) => columns.every((column) => !Number.isNaN(column[i])));
}

function blockTest(columns: readonly Float64Array[], units: readonly number[]): FriedmanResult | null {
  if (columns.length < 2 || units.length === 0) return null;
  return friedmanTest(columns.map((column) => Float64Array.from(units, (i) => column[i])));
}

/** Ranks of the explainers' means per ranking measure. */
function rankIntervals(
  source: ResampledMeans,
  names: readonly string[],
  at: (name: string, measure: Measure) => number,
): Record<'imageSrg' | 'textSrg' | 'raw', Rank[]> {
  const of = (measure: Measure) =>
    names.map((_, position) =>
      intervalOfMeans(source, (means) => {
        const values = names.map((name) => -means[at(name, measure)]);
        // A resample may miss every row of an explainer that failed often.
        return values.some(Number.isNaN) ? Number.NaN : ranks(values)[position];
      }),
    );
  return { imageSrg: of('imageSrg'), textSrg: of('textSrg'), raw: of('raw') };
}

function byGrounding(
  pool: Pool,
  raw: Float64Array,
  sampling: { resamples: number; seed: number; strata: Int32Array },
) {
  const kinds = pool.grounding;
  const result: Record<string, Interval & { samples: number }> = {};
  for (const kind of ['grounded', 'text-prior', 'image-prior']) {
    const units = kinds.flatMap((grounding, i) => (grounding === kind && !Number.isNaN(raw[i]) ? [i] : []));
    if (units.length === 0) continue;
    const source = resampleMeans([Float64Array.from(units, (i) => raw[i])], {
      ...sampling,
      strata: joinSmallStrata(Int32Array.from(units, (i) => pool.strata[i])),
    });
    result[kind] = { ...intervalOfColumn(source, 0), samples: units.length };
  }
  return result;
}

function separations(
  pool: Pool,
  ranked: readonly string[],
  options: { resamples: number; seed: number },
): GroundingSeparation[] {
  const kinds = pool.grounding;
  const units = kinds.flatMap((kind, i) =>
    kind === 'grounded' || kind === 'text-prior' || kind === 'image-prior' ? [i] : [],
  );
  const isPositive = Uint8Array.from(units, (i) => (kinds[i] === 'grounded' ? 1 : 0));
  if (!isPositive.includes(1) || !isPositive.includes(0)) return [];
  const contenders = ranked.filter((name) => name !== 'random');
  const wanted: { score: string; measure: GroundingSeparation['measure']; values: Float64Array }[] = [
    { score: 'corners', measure: 'corners', values: pool.cornerDividend },
  ];
  for (const measure of ['raw', 'normalised', 'clipped'] as const) {
    if (contenders.length > 0) {
      const columns = contenders.map((name) => pool.column(name, measure));
      wanted.push({ score: 'explainers', measure, values: meanOfPresent(columns) });
    }
    for (const name of pool.explainers)
      wanted.push({ score: name, measure, values: pool.column(name, measure) });
  }
  const columns = wanted.map(({ values }) => Float64Array.from(units, (i) => values[i]));
  const areas = rocAucs(columns, isPositive, options);
  return wanted.map(({ score, measure }, i) => ({ score, measure, auc: areas[i] }));
}

/** Per unit the mean of the columns that have a value, NaN where none has. */
function meanOfPresent(columns: readonly Float64Array[]): Float64Array {
  return columns[0].map((_, i) => {
    let sum = 0;
    let count = 0;
    for (const column of columns) {
      if (Number.isNaN(column[i])) continue;
      sum += column[i];
      count++;
    }
    return sum / count;
  });
}
