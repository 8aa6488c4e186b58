import { widened } from './bounded.js';
import { isPlausibility } from './plausibility.js';
import type { Report } from './report.js';
import { measures } from './row-measures.js';
import type { ScopeAnalysis } from './scope.js';

/** One number of a report, with what it is about. Empty cells do not apply. */
interface CsvRow {
  readonly model: string;
  readonly dataset: string;
  readonly subject: string;
  readonly other?: string;
  readonly statistic: string;
  readonly estimate: number;
  readonly low?: number;
  readonly high?: number;
  readonly n?: number;
  readonly p?: number;
  readonly adjusted?: number;
}

const head = [
  'model',
  'dataset',
  'subject',
  'other',
  'statistic',
  'estimate',
  'low',
  'high',
  'n',
  'p',
  'p_holm',
];

/**
 * Every statistic of a report, one per line (RFC 4180, full precision, empty for a number that does not
 * exist).
 */
export function renderCsv(report: Report): string {
  const scopes = report.models.flatMap(({ overall, datasets }) => [overall, ...datasets]);
  const lines = scopes
    .flatMap(scopeRows)
    .map((row) =>
      [
        row.model,
        row.dataset,
        row.subject,
        row.other ?? '',
        row.statistic,
        ...[row.estimate, row.low, row.high, row.n, row.p, row.adjusted].map(numberText),
      ]
        .map(csvCell)
        .join(','),
    );
  return `${[head.join(','), ...lines].join('\r\n')}\r\n`;
}

function scopeRows(scope: ScopeAnalysis): CsvRow[] {
  const place = { model: scope.model, dataset: scope.dataset ?? '*' };
  const about = (
    subject: string,
    statistic: string,
    rest: Omit<CsvRow, 'model' | 'dataset' | 'subject' | 'statistic'>,
  ) => ({
    ...place,
    subject,
    statistic,
    ...rest,
  });
  const explainers = scope.explainers.flatMap((row) => [
    ...measures
      // Plausibility exists where there is ground truth only.
      .filter((measure) => !isPlausibility(measure) || !Number.isNaN(row.means[measure].estimate))
      .map((measure) => about(row.name, `mean_${measure}`, { ...row.means[measure], n: row.samples })),
    ...(row.bounds
      ? [
          about(row.name, 'raw_within_bounds', {
            estimate: row.means.raw.estimate,
            ...widened(row.bounds),
            n: row.samples,
          }),
          about(row.name, 'cells_within_bounds', { estimate: row.bounds.bounded, n: row.bounds.cells }),
        ]
      : []),
    ...Object.entries(row.byGrounding).map(([kind, value]) =>
      about(row.name, `mean_raw_${kind}`, { ...value, n: value.samples }),
    ),
    ...Object.entries(row.byBehaviour).map(([kind, value]) =>
      about(row.name, `mean_raw_needs_${kind}`, { ...value, n: value.samples }),
    ),
    ...(['image', 'text', 'synergy'] as const).flatMap((kind) => [
      ...(row.ranks ? [about(row.name, `rank_${kind}`, row.ranks[kind])] : []),
      ...(row.meanRanks ? [about(row.name, `mean_rank_${kind}`, { estimate: row.meanRanks[kind] })] : []),
    ]),
    ...(row.shapley
      ? [
          about(row.name, 'mean_sii', { estimate: row.shapley.mean, n: row.shapley.rows }),
          about(row.name, 'mean_raw_of_sii_rows', { estimate: row.shapley.synergy, n: row.shapley.rows }),
        ]
      : []),
    ...(['constantImage', 'constantText', 'constant', 'tiedImage', 'tiedText'] as const).map((kind) =>
      about(row.name, `maps_${snake(kind)}`, { estimate: row.maps[kind], n: row.maps.samples }),
    ),
    ...row.suspicions.map(({ kind, samples, of }) =>
      about(row.name, `suspicion_${kind.replace('-', '_')}`, { estimate: samples, n: of }),
    ),
    about(row.name, 'failed_rows', { estimate: row.failed }),
    about(row.name, 'seconds_per_sample', { estimate: row.secondsPerSample }),
  ]);
  const known = [...scope.controls, ...scope.againstOracle].map((pair) => ({ ...pair, grounded: true }));
  const pairs = [...scope.pairs, ...known].map((pair) =>
    about(pair.one, 'grounded' in pair ? 'raw_difference_grounded' : 'raw_difference', {
      other: pair.other,
      ...pair.difference,
      n: pair.samples,
      p: pair.pValue,
      adjusted: pair.adjusted,
    }),
  );
  const separation = scope.separation.map(({ score, measure, auc }) =>
    about(score, `roc_grounded_${measure}`, {
      estimate: auc.estimate,
      low: auc.low,
      high: auc.high,
      n: auc.positives + auc.negatives,
    }),
  );
  return [
    about('*', 'accuracy', { estimate: scope.accuracy, n: scope.samples }),
    about('*', 'tau_visual_textual', { ...scope.tau.withRandom, n: scope.tau.explainers }),
    about('*', 'tau_visual_textual_without_random', scope.tau.withoutRandom),
    ...(scope.friedman
      ? [
          about('*', 'friedman_chi_squared', {
            estimate: scope.friedman.statistic,
            n: scope.friedman.blocks,
            p: scope.friedman.pValue,
          }),
        ]
      : []),
    about('*', 'grounded_samples_of_one_sided_truth', { estimate: scope.oneSided }),
    ...explainers,
    ...Object.entries(scope.behaviour).map(([kind, count]) =>
      about('*', `samples_needs_${kind}`, { estimate: count }),
    ),
    ...(scope.scale === null
      ? []
      : [
          about('*', 'chance', { ...scope.scale.chance, n: scope.scale.samples }),
          about('*', 'best_order', { ...scope.scale.best, n: scope.scale.samples }),
          ...scope.scale.rows.flatMap((row) =>
            (['excess', 'share', 'open', 'insertion', 'deletion'] as const).map((kind) =>
              about(row.name, `above_chance_${kind}`, { ...row[kind], n: row.samples }),
            ),
          ),
        ]),
    ...pairs,
    ...separation,
    ...agreementRows(scope, about),
    ...scope.checks.map(({ id, outcome }) =>
      about('*', `check_${id}`, { other: outcome, estimate: { holds: 1, open: 0, fails: -1 }[outcome] }),
    ),
  ];
}

function agreementRows(
  { agreement }: ScopeAnalysis,
  about: (
    subject: string,
    statistic: string,
    rest: Omit<CsvRow, 'model' | 'dataset' | 'subject' | 'statistic'>,
  ) => CsvRow,
): CsvRow[] {
  if (!agreement) return [];
  const n = agreement.rows;
  return [
    about('*', 'sii_rows_of_prior_questions_left_out', { estimate: agreement.leftOut }),
    ...agreement.variants.flatMap((row) =>
      (['spearman', 'pearson', 'spearmanWithoutEndpoint', 'pearsonWithoutEndpoint'] as const).map((kind) =>
        about(`${row.variant}_${row.part}`, `sii_${snake(kind)}`, { ...row[kind], n }),
      ),
    ),
    ...agreement.steps.flatMap((row) =>
      (['mean', 'insertion', 'deletion'] as const).map((part) =>
        about(`raw_${part}`, `sii_spearman_at_${row.step}`, { ...row[part], n }),
      ),
    ),
    about('raw_mean', 'sii_spearman_within_sample', {
      ...agreement.withinSample,
      n: agreement.withinSample.samples,
    }),
    about('raw_mean', 'sii_tau_of_explainer_means', {
      ...agreement.explainerOrder,
      n: agreement.explainerOrder.explainers,
    }),
  ];
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function numberText(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? '' : String(value);
}

/**
 * A cell by RFC 4180. Text that spreadsheets would take for a formula gets an apostrophe in front, numbers
 * none: names of models and data come from strangers, and a formula may read other cells or the network.
 */
export function csvCell(text: string): string {
  const formula = /^[=+\-@\t\r]/.test(text) && !/^-?(\d+(\.\d+)?(e[+-]?\d+)?|Infinity)$/i.test(text);
  const safe = formula ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
