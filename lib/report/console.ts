import { decimal, interval, textTable, wrapText } from '../text-table.js';
import { ExplainerStyle } from './explainer-style.js';
import type { ModelReport, Report } from './report.js';
import {
  bySynergy,
  failureTable,
  gridTable,
  mapTable,
  notRanked,
  percentText,
  type ReportTable,
  rankText,
  scopeTable,
  secondsText,
} from './report-tables.js';
import type { ExplainerAnalysis, ScopeAnalysis } from './scope.js';
import { placeTable, toldApartText } from './told-apart-tables.js';
import { behaviourTable, boundNote, boundTable, chanceTable } from './value-tables.js';
import {
  accuracyNote,
  answerText,
  cautionText,
  explainerNames,
  scaleNote,
  standingText,
  trustText,
} from './wording.js';

/**
 * A report as plain text for a terminal: the table of the paper's kind (F_syn per explainer and
 * model with intervals, unimodal ranks, tau, rho, cost), then the answer and the checks of the metric per
 * model, and why rows failed.
 *
 * @param width columns of the terminal, for tables that go on below and lines that are broken; without it
 *   about 120
 */
export function renderConsole(report: Report, width?: number): string {
  const style = new ExplainerStyle(explainerNames(report), report.titles);
  const parts = report.models.map((model) => modelText(model, style, width));
  if (report.models.length > 1) {
    const columns = report.models.map(({ model, overall }) => ({ title: model, scope: overall }));
    parts.push(`All models, * best of a column\n${plain(gridTable(columns, style), width)}`);
  }
  parts.push(
    `Agreement of rankings (tau) and with the exact index (rho)\n${plain(scopeTable(report.models), width, 2)}`,
  );
  for (const found of report.toldApart)
    parts.push(`${found.model}: ${toldApartText(found, style)}\n${plain(placeTable(found, style), width)}`);
  if (report.failedRows > 0) parts.push(`Failed rows\n${plain(failureTable(report, style), width)}`);
  return wrapText(parts.join('\n\n'), width);
}

function modelText(
  { model, overall, datasets, verdict }: ModelReport,
  style: ExplainerStyle,
  width: number | undefined,
): string {
  const table = textTable(
    [
      { title: 'explainer', align: 'left', value: (row) => style.title(row.name) },
      { title: 'F_syn raw', value: (row) => interval(row.means.raw) },
      { title: 'normalised', value: (row) => decimal(row.means.normalised.estimate) },
      { title: 'clipped', value: (row) => decimal(row.means.clipped.estimate) },
      { title: 'image SRG', value: (row) => decimal(row.means.imageSrg.estimate) },
      { title: 'text SRG', value: (row) => decimal(row.means.textSrg.estimate) },
      {
        title: 'ranks visual/textual/joint',
        value: (row) =>
          row.ranks
            ? [row.ranks.image, row.ranks.text, row.ranks.synergy]
                .map((rank) => rankText(rank.estimate))
                .join('/')
            : notRanked(row),
      },
      {
        title: 'SII : F_syn (n)',
        value: ({ shapley }) =>
          shapley ? `${decimal(shapley.mean)} : ${decimal(shapley.synergy)} (${shapley.rows})` : '-',
      },
      { title: 'n', value: (row) => String(row.samples) },
      { title: 'failed', value: (row) => String(row.failed) },
      { title: 's/sample', value: (row) => secondsText(row.secondsPerSample) },
    ],
    bySynergy(overall.explainers),
    width,
  );
  const checks = overall.checks.map(
    ({ outcome, claim, evidence }) => `  ${outcome.padEnd(5)}  ${claim}: ${evidence}`,
  );
  const where = datasets.length === 1 ? ` on ${datasets[0].dataset}` : '';
  return [
    `${model}${where}: ${overall.samples} samples, accuracy ${percentText(overall.accuracy)}`,
    table,
    ...groundingText(overall, style, width),
    ...behaviourPart(overall, style, width),
    ...chancePart(overall, style, width),
    ...datasetText(datasets, style, width),
    ...boundsText(overall, style, width),
    ...mapsText(overall, style, width),
    `${answerText(verdict, overall, style)} ${standingText(verdict, style)}`.trim(),
    ...[cautionText(verdict, overall, style)].filter((text) => text !== ''),
    `${trustText(verdict.trust)} ${accuracyNote(overall)}`.trim(),
    ...checks,
  ].join('\n');
}

function boundsText(scope: ScopeAnalysis, style: ExplainerStyle, width: number | undefined): string[] {
  const table = boundTable(scope, style);
  return table.body.length === 0 ? [] : [`\nF_syn raw within bounds\n${plain(table, width)}\n${boundNote}\n`];
}

function mapsText(scope: ScopeAnalysis, style: ExplainerStyle, width: number | undefined): string[] {
  const table = mapTable(scope, style);
  return table.body.length === 0
    ? []
    : [`\nSamples on which maps leave the order to the players' places\n${plain(table, width)}\n`];
}

/** Raw F_syn by what a correct answer needs, where the samples say so. */
function groundingText(
  { explainers }: ScopeAnalysis,
  style: ExplainerStyle,
  width: number | undefined,
): string[] {
  const kinds = ['grounded', 'text-prior', 'image-prior'].filter((kind) =>
    explainers.some((row) => row.byGrounding[kind]),
  );
  if (kinds.length === 0) return [];
  const size = (kind: string) => Math.max(...explainers.map((row) => row.byGrounding[kind]?.samples ?? 0));
  const table = textTable<ExplainerAnalysis>(
    [
      { title: 'explainer', align: 'left', value: (row) => style.title(row.name) },
      ...kinds.map((kind) => ({
        title: `${kind} (n=${size(kind)})`,
        value: ({ byGrounding }: ExplainerAnalysis) =>
          byGrounding[kind] ? interval(byGrounding[kind]) : '-',
      })),
    ],
    bySynergy(explainers),
    width,
  );
  return [`\nF_syn raw by what a correct answer needs\n${table}\n`];
}

function behaviourPart(scope: ScopeAnalysis, style: ExplainerStyle, width: number | undefined): string[] {
  const table = behaviourTable(scope, style);
  return table.head.length > 1
    ? [`\nF_syn raw by what the model needed for its answer\n${plain(table, width)}\n`]
    : [];
}

function chancePart(scope: ScopeAnalysis, style: ExplainerStyle, width: number | undefined): string[] {
  if (scope.scale === null) return [];
  return [`\n${scaleNote(scope.scale)}\n${plain(chanceTable(scope, style), width)}\n`];
}

function datasetText(
  datasets: readonly ScopeAnalysis[],
  style: ExplainerStyle,
  width: number | undefined,
): string[] {
  if (datasets.length < 2) return [];
  const columns = datasets.map((scope) => ({
    title: `${scope.dataset} (n=${scope.samples}, accuracy ${percentText(scope.accuracy)})`,
    scope,
  }));
  return [`\nF_syn raw by dataset, * best of a column\n${plain(gridTable(columns, style), width)}\n`];
}

function plain({ head, body }: ReportTable, width: number | undefined, repeated = 1): string {
  return textTable(
    head.map((title, i) => ({
      title,
      align: i === 0 ? ('left' as const) : ('right' as const),
      // Messages of failed rows may have several lines.
      value: (row: readonly string[]) => row[i].replaceAll(/\s*\n\s*/g, ' '),
    })),
    body,
    width,
    repeated,
  );
}
