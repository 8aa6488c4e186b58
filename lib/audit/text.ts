import { behaviours } from '../metrics/modality.js';
import { behaviourText } from '../report/behaviour-text.js';
import { csvCell } from '../report/csv.js';
import { type Column, decimal, interval, textTable } from '../text-table.js';
import type { AuditRecord } from './record.js';
import { type AuditScope, type ModelAudit, rankQuestions } from './summary.js';

/** An audit as tables for a terminal. */
export function renderAudit(audits: readonly ModelAudit[]): string {
  return audits
    .map(({ model, overall, parts, separation }) => {
      const { needsBoth, accuracyWhereBoth, samples, failed } = overall;
      const lines = [
        `${model}: ${percent(needsBoth.estimate)} of ${samples} questions need image and text together, ${interval(needsBoth, 2)}`,
        textTable(columns, [overall, ...parts]),
        `Right on ${percent(overall.accuracy)} of all, on ${interval(accuracyWhereBoth, 2)} of those that need both.`,
      ];
      if (separation !== null)
        lines.push(
          `Joint share, grounded against other questions: ROC area ${interval(separation)} (${separation.positives} against ${separation.negatives}).`,
        );
      if (failed > 0) lines.push(`${failed} questions failed; audit.jsonl has the reasons.`);
      return lines.join('\n\n');
    })
    .join('\n\n');
}

const columns: readonly Column<AuditScope>[] = [
  {
    title: 'questions',
    align: 'left',
    value: ({ dataset, family }) => (dataset === null ? 'all' : `${dataset}, ${family}`),
  },
  { title: 'n', value: ({ samples }) => String(samples) },
  { title: 'image alone', value: ({ image }) => interval(image, 2) },
  { title: 'text alone', value: ({ text }) => interval(text, 2) },
  { title: 'only both', value: ({ both }) => interval(both, 2) },
  ...behaviours.map((kind) => ({
    title: behaviourText[kind],
    value: ({ behaviour }: AuditScope) => percent(behaviour[kind]),
  })),
];

/** Every question, most in need of both first, as CSV (RFC 4180). */
export function renderAuditCsv(records: readonly AuditRecord[]): string {
  const head =
    'model,dataset,sample,family,grounding,question,answer,expected,correct,behaviour,image_alone,text_alone,only_both,v_full,v_image,v_text,v_empty';
  const lines = rankQuestions(records).map((row) => {
    const { full, imageOnly, textOnly, empty } = row.corners;
    const { image, text, both } = row.shares;
    return [
      row.model,
      row.dataset,
      row.sample,
      row.family,
      row.grounding ?? '',
      row.question,
      row.answer,
      row.expected,
      row.correct === null ? '' : String(row.correct),
      row.behaviour,
      ...[image, text, both, full, imageOnly, textOnly, empty].map(String),
    ]
      .map(csvCell)
      .join(',');
  });
  return `${[head, ...lines].join('\r\n')}\r\n`;
}

function percent(fraction: number): string {
  return Number.isNaN(fraction) ? '-' : `${decimal(100 * fraction, 0)} %`;
}
