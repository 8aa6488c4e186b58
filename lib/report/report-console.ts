import { ExplainerStyle } from './charts.js';
import type { ModelReport, Report } from './report.js';
import {
  bySynergy,
  gridTable,
  percentText,
  type ReportTable,
  rankText,
  scopeTable,
  secondsText,
} from './report-tables.js';
import { decimal, interval, textTable } from './table.js';
import { accuracyNote, answerText, explainerNames, standingText, trustText } from './wording.js';

/**
 * A report as plain text for a terminal, about 120 columns wide: the table of the paper's kind (F_syn per explainer and
 * model with intervals, unimodal ranks, tau, rho, cost), then the answer and the checks of the metric per model.
 */
export function renderConsole(report: Report): string {
  const style = new ExplainerStyle(explainerNames(report), report.titles);
  const parts = report.models.map((model) => modelText(model, style));
  if (report.models.length > 1) {
    const columns = report.models.map(({ model, overall }) => ({ title: model, scope: overall }));
    parts.push(`All models, * best of a column\n${plain(gridTable(columns, style))}`);
  }
  parts.push(
    `Agreement of rankings (tau) and with the exact index (rho)\n${plain(scopeTable(report.models))}`,
  );
  return parts.join('\n\n');
}

function modelText({ model, overall, verdict }: ModelReport, style: ExplainerStyle): string {
  const table = textTable(
    [
      { title: 'explainer', align: 'left', value: (row) => style.title(row.name) },
      { title: 'F_syn raw', value: (row) => interval(row.means.raw) },
      { title: 'clipped', value: (row) => decimal(row.means.clipped.estimate) },
      { title: 'image SRG', value: (row) => decimal(row.means.imageSrg.estimate) },
      { title: 'text SRG', value: (row) => decimal(row.means.textSrg.estimate) },
      {
        title: 'ranks visual/textual/joint',
        value: ({ ranks }) =>
          ranks
            ? [ranks.image, ranks.text, ranks.synergy].map((rank) => rankText(rank.estimate)).join('/')
            : 'control',
      },
      { title: 'SII', value: (row) => (row.shapley ? decimal(row.shapley.mean) : '-') },
      { title: 'n', value: (row) => String(row.samples) },
      { title: 'failed', value: (row) => String(row.failed) },
      { title: 's/sample', value: (row) => secondsText(row.secondsPerSample) },
    ],
    bySynergy(overall.explainers),
  );
  const checks = overall.checks.map(
    ({ outcome, claim, evidence }) => `  ${outcome.padEnd(5)}  ${claim}: ${evidence}`,
  );
  return [
    `${model}: ${overall.samples} samples, accuracy ${percentText(overall.accuracy)}`,
    table,
    `${answerText(verdict, overall, style)} ${standingText(verdict, style)}`,
    `${trustText(verdict.trust)} ${accuracyNote(overall)}`.trim(),
    ...checks,
  ].join('\n');
}

function plain({ head, body }: ReportTable): string {
  return textTable(
    head.map((title, i) => ({
      title,
      align: i === 0 ? ('left' as const) : ('right' as const),
      value: (row: readonly string[]) => row[i],
    })),
    body,
  );
}
