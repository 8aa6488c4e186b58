import { ExplainerStyle } from './explainer-style.js';
import { plausibilityAgreement, plausibilityTable } from './plausibility.js';
import type { ModelReport, Report } from './report.js';
import {
  agreementTable,
  comparisonTable,
  failureTable,
  gridTable,
  mapTable,
  provenanceTable,
  type ReportTable,
  rankTable,
  scopeTable,
  separationTable,
  stepTable,
  synergyTable,
} from './report-tables.js';
import { tellingTable } from './telling-table.js';
import { placeTable, sequentialPairTable, toldApartText } from './told-apart-tables.js';
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
 * Writes a report's answers and tables as Markdown, for issues and pull requests. Charts and pictures are in
 * the HTML.
 */
export function renderMarkdown(report: Report): string {
  const style = new ExplainerStyle(explainerNames(report), report.titles);
  const parts = [
    '# fsyn report',
    ...report.models.map((model) => answerPart(model, style)),
    '## Models and datasets',
    tableMarkdown(scopeTable(report.models)),
  ];
  if (report.models.length > 1) {
    const columns = report.models.map(({ model, overall }) => ({ title: model, scope: overall }));
    parts.push('## All models', tableMarkdown(gridTable(columns, style)));
  }
  for (const model of report.models) parts.push(...modelParts(model, style));
  for (const found of report.toldApart)
    parts.push(
      `## Ranking of ${escapeMarkdown(found.model)}, stopped when certain`,
      escapeMarkdown(toldApartText(found, style)),
      tableMarkdown(placeTable(found, style)),
      tableMarkdown(sequentialPairTable(found, style)),
    );
  if (report.failedRows > 0) parts.push('## Failed rows', tableMarkdown(failureTable(report, style)));
  parts.push('## Provenance', tableMarkdown(provenanceTable(report)));
  return `${parts.join('\n\n')}\n`;
}

function answerPart({ model, overall, verdict }: ModelReport, style: ExplainerStyle): string {
  const checks = overall.checks.map(
    ({ claim, outcome, evidence }) => `* ${outcome}: ${escapeMarkdown(claim)} (${escapeMarkdown(evidence)})`,
  );
  return [
    `**${escapeMarkdown(model)}**: ${escapeMarkdown(answerText(verdict, overall, style))} ${escapeMarkdown(`${standingText(verdict, style)} ${cautionText(verdict, overall, style)}`.trim())}`,
    `**The metric:** ${escapeMarkdown(`${trustText(verdict.trust)} ${accuracyNote(overall)}`.trim())}`,
    checks.join('\n'),
  ].join('\n\n');
}

function modelParts({ model, overall, datasets, telling }: ModelReport, style: ExplainerStyle): string[] {
  const columns = datasets.map((scope) => ({ title: scope.dataset ?? 'all', scope }));
  const maps = mapTable(overall, style);
  const plausible = plausibilityTable(overall, style);
  const looks = plausibilityAgreement(overall);
  const bounds = boundTable(overall, style);
  return [
    `## ${escapeMarkdown(model)}`,
    tableMarkdown(synergyTable(overall, style)),
    tableMarkdown(rankTable(overall, style)),
    ...(bounds.body.length > 0 ? ['### Known within bounds', boundNote, tableMarkdown(bounds)] : []),
    ...(overall.scale === null
      ? []
      : [
          '### Above chance',
          escapeMarkdown(scaleNote(overall.scale)),
          tableMarkdown(chanceTable(overall, style)),
        ]),
    '### By what the model needed',
    tableMarkdown(behaviourTable(overall, style)),
    ...(maps.body.length > 0 ? ['### Maps without an order of their own', tableMarkdown(maps)] : []),
    ...(datasets.length > 1 ? ['### By dataset', tableMarkdown(gridTable(columns, style))] : []),
    ...(overall.pairs.length > 0 ? ['### Pairs', tableMarkdown(comparisonTable(overall.pairs, style))] : []),
    ...(overall.controls.length > 0
      ? ['### Controls on grounded samples', tableMarkdown(comparisonTable(overall.controls, style))]
      : []),
    ...(overall.againstOracle.length > 0
      ? [
          '### Explainers against Oracle on grounded samples',
          tableMarkdown(comparisonTable(overall.againstOracle, style)),
        ]
      : []),
    ...(plausible.body.length > 0 ? ['### Plausibility beside faithfulness', tableMarkdown(plausible)] : []),
    ...(looks.body.length > 0 ? [tableMarkdown(looks)] : []),
    ...(telling.length > 0 ? ['### Telling samples', tableMarkdown(tellingTable(telling, style))] : []),
    ...(overall.separation.length > 0
      ? ['### Grounded against prior questions', tableMarkdown(separationTable(overall, style))]
      : []),
    ...(overall.agreement
      ? [
          '### F_syn against the exact Shapley interaction index',
          tableMarkdown(agreementTable(overall)),
          tableMarkdown(stepTable(overall)),
        ]
      : []),
  ];
}

function tableMarkdown({ head, body }: ReportTable): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeMarkdown).join(' | ')} |`;
  const rule = `|${head.map((_, i) => (i === 0 ? ' --- ' : ' ---: ')).join('|')}|`;
  return [line(head), rule, ...body.map(line)].join('\n');
}

/** Text that Markdown shows as it is, also inside a table cell. */
function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_<>|[\]]/g, (c) => `\\${c}`).replace(/\s*\n\s*/g, ' ');
}
