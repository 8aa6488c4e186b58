import { decimal, interval } from '../text-table.js';
import type { Agreement } from './agreement.js';
import type { Comparison } from './comparison.js';
import type { ExplainerStyle } from './explainer-style.js';
import type { ModelReport, Report } from './report.js';
import type { ExplainerAnalysis, Rank, ScopeAnalysis } from './scope.js';
import { leaderOf } from './verdict.js';

/** A table ready to be written in any format: text only, first column left, others right. */
export interface ReportTable {
  readonly head: readonly string[];
  readonly body: readonly (readonly string[])[];
}

/**
 * What stands where a rank would: controls that know the truth are not ranked, others without rows have none.
 */
export function notRanked({ control }: ExplainerAnalysis): string {
  return control ? 'control' : '-';
}

/** Explainers by raw F_syn, largest first; those without rows last. */
export function bySynergy(explainers: readonly ExplainerAnalysis[]): ExplainerAnalysis[] {
  const value = (row: ExplainerAnalysis) =>
    Number.isNaN(row.means.raw.estimate) ? Number.NEGATIVE_INFINITY : row.means.raw.estimate;
  return [...explainers].sort((a, b) => value(b) - value(a));
}

/** F_syn of a scope in all variants, the exact index, cost. */
export function synergyTable(scope: ScopeAnalysis, style: ExplainerStyle): ReportTable {
  return {
    head: [
      'explainer',
      'F_syn raw',
      'normalised',
      'clipped',
      'exact SII',
      'F_syn of its rows',
      'its rows',
      'mean rank',
      'n',
      'failed',
      's / sample',
    ],
    body: bySynergy(scope.explainers).map((row) => [
      style.title(row.name),
      interval(row.means.raw),
      interval(row.means.normalised),
      interval(row.means.clipped),
      row.shapley ? decimal(row.shapley.mean) : '-',
      row.shapley ? decimal(row.shapley.synergy) : '-',
      String(row.shapley?.rows ?? 0),
      row.meanRanks ? decimal(row.meanRanks.synergy, 2) : notRanked(row),
      String(row.samples),
      String(row.failed),
      secondsText(row.secondsPerSample),
    ]),
  };
}

/** Unimodal scores and the ranks that they give, beside the joint rank. */
export function rankTable(scope: ScopeAnalysis, style: ExplainerStyle): ReportTable {
  return {
    head: [
      'explainer',
      'image SRG',
      'text SRG',
      'visual rank',
      'textual rank',
      'joint rank',
      'mean rank: visual',
      'textual',
      'joint',
    ],
    body: bySynergy(scope.explainers).map((row) => [
      style.title(row.name),
      interval(row.means.imageSrg),
      interval(row.means.textSrg),
      ...(['image', 'text', 'synergy'] as const).map((kind) =>
        row.ranks ? rankRange(row.ranks[kind]) : notRanked(row),
      ),
      ...(['image', 'text', 'synergy'] as const).map((kind) =>
        row.meanRanks ? decimal(row.meanRanks[kind], 2) : '-',
      ),
    ]),
  };
}

/**
 * On how many samples an explainer's maps leave the order to the players' places; no row where all maps order
 * all players.
 */
export function mapTable({ explainers }: ScopeAnalysis, style: ExplainerStyle): ReportTable {
  const rows = explainers.filter(({ maps }) => maps.constant + maps.tiedImage + maps.tiedText > 0);
  return {
    head: [
      'explainer',
      'constant: image',
      'constant: words',
      'mostly tied: image',
      'mostly tied: words',
      'samples',
    ],
    body: rows.map(({ name, maps }) => [
      style.title(name),
      ...[maps.constantImage, maps.constantText, maps.tiedImage, maps.tiedText, maps.samples].map(String),
    ]),
  };
}

/** Raw F_syn of every explainer on every model (or dataset), best of each column marked with an asterisk. */
export function gridTable(
  columns: readonly { readonly title: string; readonly scope: ScopeAnalysis }[],
  style: ExplainerStyle,
): ReportTable {
  const names = style.names.filter((name) =>
    columns.some(({ scope }) => scope.explainers.some((row) => row.name === name)),
  );
  const best = columns.map(({ scope }) => leaderOf(scope.explainers));
  return {
    head: ['F_syn raw', ...columns.map(({ title }) => title)],
    body: names.map((name) => [
      style.title(name),
      ...columns.map(({ scope }, i) => {
        const row = scope.explainers.find((candidate) => candidate.name === name);
        if (!row || row.samples === 0) return '-';
        return `${interval(row.means.raw)}${best[i] === name ? ' *' : ''}`;
      }),
    ]),
  };
}

/** Per model and dataset: accuracy, agreement of unimodal rankings, agreement with the index. */
export function scopeTable(models: readonly ModelReport[]): ReportTable {
  const scopes = models.flatMap(({ overall, datasets }) =>
    datasets.length > 1 ? [overall, ...datasets] : datasets,
  );
  return {
    head: [
      'model',
      'dataset',
      'samples',
      'accuracy',
      'tau visual / textual',
      'rho F_syn / SII',
      'without endpoint',
      'rows with SII',
    ],
    body: scopes.map((scope) => {
      const raw = scope.agreement?.variants.find(({ variant, part }) => variant === 'raw' && part === 'mean');
      return [
        scope.model,
        scope.dataset ?? 'all',
        String(scope.samples),
        percentText(scope.accuracy),
        interval(scope.tau.withRandom, 2),
        raw ? interval(raw.spearman, 2) : '-',
        raw ? interval(raw.spearmanWithoutEndpoint, 2) : '-',
        scope.agreement ? `${scope.agreement.rows} of ${indexSamples(scope.agreement)}` : '0',
      ];
    }),
  };
}

/** How many samples the index is compared on, and of which kind. */
export function indexSamples({ samples, questions }: Agreement): string {
  const kind = { grounded: 'grounded ', any: '', prior: 'prior ' }[questions];
  return `${samples} ${kind}sample${samples === 1 ? '' : 's'}`;
}

export function comparisonTable(pairs: readonly Comparison[], style: ExplainerStyle): ReportTable {
  const verdicts = { '-1': 'smaller', '0': 'not told apart', '1': 'larger' } as const;
  return {
    head: [
      'pair',
      'mean difference of F_syn raw',
      'larger on',
      'samples',
      'Wilcoxon p',
      'Holm p',
      'first is',
    ],
    body: pairs.map((pair) => [
      `${style.title(pair.one)} - ${style.title(pair.other)}`,
      interval(pair.difference),
      percentText(pair.wins),
      String(pair.samples),
      pText(pair.pValue),
      pText(pair.adjusted),
      verdicts[String(pair.verdict) as '-1' | '0' | '1'],
    ]),
  };
}

/** ROC areas of grounded against prior questions. */
export function separationTable(scope: ScopeAnalysis, style: ExplainerStyle): ReportTable {
  const scores = [...new Set(scope.separation.map(({ score }) => score))];
  const area = (score: string, measure: string) => {
    const found = scope.separation.find((entry) => entry.score === score && entry.measure === measure);
    return found ? interval(found.auc, 2) : '-';
  };
  const means = (score: string, kind: string) => {
    const found = scope.explainers.find((row) => row.name === score)?.byGrounding[kind];
    return found ? interval(found) : '-';
  };
  const label = (score: string) =>
    score === 'corners'
      ? 'no explainer (corner dividend)'
      : score === 'explainers'
        ? 'mean of the explainers'
        : style.title(score);
  const first = scope.separation[0]?.auc;
  const sizes = first ? ` (${first.positives} / ${first.negatives})` : '';
  return {
    head: [
      'score',
      `ROC area${sizes}: raw`,
      'normalised',
      'clipped',
      'F_syn raw: grounded',
      'text prior',
      'image prior',
    ],
    body: scores.map((score) => [
      label(score),
      score === 'corners' ? area(score, 'corners') : area(score, 'raw'),
      area(score, 'normalised'),
      area(score, 'clipped'),
      means(score, 'grounded'),
      means(score, 'text-prior'),
      means(score, 'image-prior'),
    ]),
  };
}

export function agreementTable(scope: ScopeAnalysis): ReportTable {
  return {
    head: [
      'F_syn variant',
      'Spearman',
      'Pearson',
      'Spearman without endpoint',
      'Pearson without endpoint',
      'Spearman against raw SII',
      'the same without endpoint',
    ],
    body: (scope.agreement?.variants ?? []).map((row) => [
      `${row.variant}, ${row.part}`,
      interval(row.spearman, 2),
      interval(row.pearson, 2),
      interval(row.spearmanWithoutEndpoint, 2),
      interval(row.pearsonWithoutEndpoint, 2),
      decimal(row.spearmanAgainstRaw, 2),
      decimal(row.spearmanAgainstRawWithoutEndpoint, 2),
    ]),
  };
}

export function stepTable(scope: ScopeAnalysis): ReportTable {
  return {
    head: ['step', 'mean', 'insertion', 'deletion'],
    body: (scope.agreement?.steps ?? []).map((row) => [
      `${decimal(row.step, 2)}${row.shared ? ' (shared)' : ''}`,
      interval(row.mean, 2),
      interval(row.insertion, 2),
      interval(row.deletion, 2),
    ]),
  };
}

export function failureTable(report: Report, style: ExplainerStyle): ReportTable {
  return {
    head: ['model', 'explainer', 'code', 'rows', 'first message'],
    body: report.models.flatMap(({ model, overall }) =>
      overall.explainers.flatMap(({ name, failures }) =>
        failures.map(({ code, count, message }) => [model, style.title(name), code, String(count), message]),
      ),
    ),
  };
}

/** Where the numbers come from: versions, models, data, settings, machine. */
export function provenanceTable(report: Report): ReportTable {
  const { run } = report;
  const body: string[][] = [
    [
      'rows',
      `${report.rows} (${report.failedRows} failed, ${report.ignoredRows} superseded or of other settings)`,
    ],
    ['settings key', report.settingsKey],
    ...Object.entries({ code: 'not recorded', ...report.versions }).map(([name, version]) => [
      `version of ${name}`,
      version,
    ]),
    ...report.models.map(({ model, fingerprint }) => [
      `model ${model}`,
      `${run?.models?.find(({ name }) => name === model)?.architecture ?? 'architecture not recorded'}, fingerprint ${fingerprint}`,
    ]),
    ...Array.from(report.datasetVersions, ([name, version]) => [`dataset ${name}`, `version ${version}`]),
    ...(run?.explainers ?? []).flatMap(({ name, fingerprint }) =>
      fingerprint === undefined ? [] : [[`explainer ${name}`, `not of fsyn, file SHA-256 ${fingerprint}`]],
    ),
    ...report.models.flatMap(({ model, evaluation }) =>
      evaluation
        ? [
            [
              `cost on ${model}`,
              `${evaluation.cells} cells in ${evaluation.evaluateSeconds.toFixed(1)} s over ${evaluation.samples} samples, explainers aside`,
            ],
          ]
        : [],
    ),
    ...Object.entries(run?.settings ?? {}).map(([name, value]) => [`setting ${name}`, JSON.stringify(value)]),
    ...describeMachine(run?.machine),
    [
      'intervals',
      `95 % percentile bootstrap over samples within datasets, ${report.resamples} resamples, seed ${report.seed}`,
    ],
  ];
  if (!run) body.push(['run.json', 'missing: settings and architectures are not known']);
  else if (run.machine === undefined) body.push(['machine', 'not recorded in run.json']);
  return { head: ['what', 'value'], body };
}

function describeMachine(machine: unknown): string[][] {
  if (typeof machine === 'string') return [['machine', machine]];
  if (typeof machine !== 'object' || machine === null) return [];
  return Object.entries(machine).map(([name, value]) => [
    `machine ${name}`,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
}

export function pText(p: number): string {
  if (Number.isNaN(p)) return '-';
  return p < 0.001 ? '< 0.001' : p.toFixed(3);
}

export function percentText(share: number): string {
  return Number.isNaN(share) ? '-' : `${(100 * share).toFixed(0)} %`;
}

/** A rank as a person writes it; ties give halves. */
export function rankText(rank: number): string {
  return Number.isNaN(rank) ? '-' : String(Math.round(2 * rank) / 2);
}

/** A rank with the range of its bootstrap interval: `2 (1-3)`. */
function rankRange({ estimate, low, high }: Rank): string {
  const alone = Number.isNaN(low) || low === high;
  return alone ? rankText(estimate) : `${rankText(estimate)} (${rankText(low)}-${rankText(high)})`;
}

/** Seconds with three significant digits, so that milliseconds do not look free. */
export function secondsText(seconds: number): string {
  if (Number.isNaN(seconds)) return '-';
  return seconds === 0 ? '0' : seconds >= 100 ? seconds.toFixed(0) : seconds.toPrecision(2);
}
