import { areaUnderCurve } from '../metrics/steps.js';
import type { Interval } from '../statistics/bootstrap.js';
import { joinSmallStrata } from '../statistics/resample.js';
import { agreement } from './agreement.js';
import { meanBounds } from './bounded.js';
import { checkMetric } from './checks.js';
import { allPairs, comparePairs } from './comparison.js';
import { controlSamples, meansByBehaviour, meansByGrounding, separations } from './grounding.js';
import { type IndexRows, indexRows } from './index-rows.js';
import { orderOf } from './map-order.js';
import { MeasureMeans, type Sampling } from './measure-means.js';
import { controlNames, type Pool, type PooledShapleyRow, truthControls } from './pool.js';
import { Ranking } from './ranking.js';
import { type Measure, measures } from './row-measures.js';
import { scaleOf } from './scale.js';
import type { ExplainerAnalysis, ScopeAnalysis } from './scope.js';
import { suspicionsOf } from './suspicion.js';

export interface AnalysisOptions {
  readonly resamples: number;
  readonly seed: number;
  /** Mean seconds per sample by explainer. */
  readonly explainSeconds: Readonly<Record<string, number>>;
  readonly steps: readonly number[];
}

/** The orders in which the controls must come out. */
const controlPairs = [
  ['oracle', 'anti-oracle'],
  ['oracle', 'random'],
  ['random', 'anti-oracle'],
  ['oracle', 'mismatch'],
  ['mismatch', 'anti-oracle'],
] as const;

/** Computes every statistic of a scope. Deterministic for a seed. */
export function analyse(pool: Pool, dataset: string | null, options: AnalysisOptions): ScopeAnalysis {
  const { resamples, seed, steps } = options;
  const sampling = { resamples, seed, strata: joinSmallStrata(pool.strata) };
  const means = new MeasureMeans(pool, sampling);
  const ranked = pool.explainers.filter((name) => !truthControls.includes(name) && means.isMeasured(name));
  const ranking = new Ranking(means, ranked);
  const index = indexRows(pool);
  const raw = (name: string) => ({ name, values: means.values(name, 'raw') });
  const { known, oneSided } = controlSamples(pool);
  const rawKnown = (name: string) => ({
    name,
    values: means.values(name, 'raw').map((value, unit) => (known[unit] ? value : Number.NaN)),
  });
  const contenders = ranked.filter((name) => name !== 'random');
  const controls = controlPairs.filter((pair) => pair.every((name) => pool.explainers.includes(name)));
  const scope = {
    model: pool.groups[0].model,
    dataset,
    samples: pool.units,
    accuracy: pool.accuracy,
    explainers: pool.explainers.map((name) =>
      analyseExplainer(name, { pool, means, ranking, index, sampling, options }),
    ),
    friedman: ranking.friedman,
    tau: ranking.tau,
    pairs: comparePairs(allPairs(ranked.map(raw)), sampling),
    controls: comparePairs(
      controls.map(([one, other]) => [rawKnown(one), rawKnown(other)] as const),
      sampling,
    ),
    againstOracle: pool.explainers.includes('oracle')
      ? comparePairs(
          contenders.map((name) => [rawKnown(name), rawKnown('oracle')] as const),
          sampling,
        )
      : [],
    oneSided,
    behaviour: countBehaviours(pool),
    scale: scaleOf(pool, means, sampling),
    separation: separations(pool, means, contenders, sampling),
    agreement: agreement(index, pool.strata, steps, { resamples, seed }),
  };
  return { ...scope, checks: checkMetric(scope) };
}

interface Context {
  readonly pool: Pool;
  readonly means: MeasureMeans;
  readonly ranking: Ranking;
  readonly index: IndexRows;
  readonly sampling: Sampling;
  readonly options: AnalysisOptions;
}

function analyseExplainer(name: string, context: Context): ExplainerAnalysis {
  const { pool, means, ranking, index, sampling, options } = context;
  const raw = means.values(name, 'raw');
  const failures = pool.failures(name);
  const maps = orderOf([...pool.ties(name).values()]);
  const measureMeans = Object.fromEntries(
    measures.map((measure) => [measure, means.mean(name, measure)]),
  ) as Record<Measure, Interval>;
  return {
    name,
    control: controlNames.includes(name),
    samples: raw.filter((value) => !Number.isNaN(value)).length,
    failed: failures.reduce((sum, { count }) => sum + count, 0),
    failures,
    maps,
    suspicions: suspicionsOf(pool.shapes(name), maps, measureMeans),
    means: measureMeans,
    bounds: meanBounds(raw, pool.bounds(name)),
    ranks: ranking.ranks(name),
    meanRanks: ranking.meanRanks(name),
    shapley: meanShapley(
      raw,
      index.rows.filter((row) => row.explainer === name),
      options.steps,
    ),
    byGrounding: meansByGrounding(pool, raw, sampling),
    byBehaviour: meansByBehaviour(pool, raw, sampling),
    secondsPerSample: options.explainSeconds[name] ?? Number.NaN,
  };
}

function countBehaviours(pool: Pool): ScopeAnalysis['behaviour'] {
  const counts = { both: 0, text: 0, image: 0, either: 0, neither: 0 };
  for (const kind of pool.behaviour) if (kind !== null) counts[kind]++;
  return counts;
}

/** Mean exact index of an explainer over its rows that have one, and its mean F_syn on the same rows. */
function meanShapley(
  raw: Float64Array,
  rows: readonly PooledShapleyRow[],
  steps: readonly number[],
): ExplainerAnalysis['shapley'] {
  if (rows.length === 0) return null;
  const mean = (value: (row: PooledShapleyRow) => number) =>
    rows.reduce((sum, row) => sum + value(row), 0) / rows.length;
  return {
    mean: mean((row) => areaUnderCurve(steps, row.shapley)),
    synergy: mean((row) => raw[row.unit]),
    rows: rows.length,
  };
}
