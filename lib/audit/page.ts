import { escapeHtml } from '../html-text.js';
import { type Behaviour, behaviours } from '../metrics/modality.js';
import { behaviourText } from '../report/behaviour-text.js';
import { pageStyle } from '../report/page-style.js';
import { chartSvg, ink } from '../report/svg.js';
import { decimal, interval } from '../text-table.js';
import { encodePng } from '../vlm/images/encode.js';
import type { RgbImage } from '../vlm/types.js';
import type { AuditedRecord, AuditRecord } from './record.js';
import { type AuditScope, audited, type ModelAudit, rankQuestions } from './summary.js';

const colours: Readonly<Record<Behaviour, string>> = {
  both: 'var(--c0)',
  text: 'var(--c1)',
  image: 'var(--c2)',
  either: 'var(--c3)',
  neither: 'var(--faint)',
};

/** Examples of every behaviour that a page shows. */
const shownOfEach = 4;

/**
 * An audit as one HTML page that needs nothing else.
 *
 * @param pictureOf the picture of a question, for the examples; null where it cannot be had
 */
export async function auditPage(
  audits: readonly ModelAudit[],
  records: readonly AuditRecord[],
  pictureOf: (record: AuditedRecord) => Promise<RgbImage | null>,
): Promise<string> {
  const sections: string[] = [];
  for (const [i, audit] of audits.entries()) {
    const own = records.filter(({ model }) => model === audit.model);
    sections.push(await modelHtml(audit, audited(own), i, pictureOf));
  }
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>fsyn audit</title>
<style>${pageStyle}
.examples { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)) }
.examples figure { margin: 0 }
.examples img { image-rendering: pixelated; max-width: 100%; width: 9rem }
.examples figcaption { font-size: .87rem }
</style></head><body><main>
<h1>Do these questions need the image and the text together?</h1>
<p class="lead">Every question was asked whole, without its image, without its words, and without both.</p>
${sections.join('\n')}
<h2>How to read this</h2>
<p class="note"><b>Shares.</b> Of what the full input adds to the empty one, the image alone gives (v(I,-) - v(-,-)) / |v(I,T) - v(-,-)|, the text alone (v(-,T) - v(-,-)) / |...|, and both only together the rest, the dividend of the four corners. v is the probability of the answer that the model gave on the full input.</p>
<p class="note"><b>Needs both:</b> neither modality alone goes half of the way. Only on such questions can explanations differ in synergy, so only they can tell a faithful explainer from another one.</p>
</main></body></html>
`;
}

async function modelHtml(
  audit: ModelAudit,
  rows: readonly AuditedRecord[],
  index: number,
  pictureOf: (record: AuditedRecord) => Promise<RgbImage | null>,
): Promise<string> {
  const { model, overall, parts, separation } = audit;
  const verdict =
    `${Math.round(100 * overall.needsBoth.estimate)} % of ${overall.samples} questions need both ` +
    `(${interval(overall.needsBoth, 2)}); on them the model is right in ${percent(overall.accuracyWhereBoth.estimate)}.`;
  const auc =
    separation === null
      ? ''
      : `<p class="note">The joint share tells questions that are labelled as grounded from the others with a ROC area of ${interval(separation)} (${separation.positives} against ${separation.negatives}).</p>`;
  return `<h2>${escapeHtml(model)}</h2>
<p>${escapeHtml(verdict)}</p>
${scopeTable([overall, ...parts])}
${auc}
<h3>Every question: what the text alone gives, and what the image alone gives</h3>
${await planeChart(rows, index)}
<h3>Examples</h3>
${await examplesHtml(rows, pictureOf)}`;
}

function scopeTable(scopes: readonly AuditScope[]): string {
  const head = [
    'questions',
    'n',
    'image alone',
    'text alone',
    'only both',
    ...behaviours.map((b) => behaviourText[b]),
  ];
  const columns = [...head, 'accuracy', 'where both are needed'];
  const body = scopes.map((scope) => {
    const name = scope.dataset === null ? 'all' : `${scope.dataset}, ${scope.family}`;
    const cells = [
      String(scope.samples),
      interval(scope.image, 2),
      interval(scope.text, 2),
      interval(scope.both, 2),
      ...behaviours.map((kind) => percent(scope.behaviour[kind])),
      percent(scope.accuracy),
      percent(scope.accuracyWhereBoth.estimate),
    ];
    return `<tr><th>${escapeHtml(name)}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  });
  const titles = columns.map((title) => `<th>${title}</th>`).join('');
  return `<div class="scroll"><table><thead><tr>${titles}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>`;
}

function planeChart(rows: readonly AuditedRecord[], index: number): Promise<string> {
  const values = rows.map(({ shares, behaviour, sample }) => ({
    text: clamp(shares.text),
    image: clamp(shares.image),
    behaviour: behaviourText[behaviour],
    sample,
  }));
  const axis = (field: string, title: string) => ({
    field,
    type: 'quantitative' as const,
    title,
    scale: { domain: [-1, 1.5] },
  });
  const half = (channel: 'x' | 'y') => ({
    mark: { type: 'rule' as const, strokeDash: [4, 4], color: ink.faint },
    encoding: { [channel]: { datum: 0.5 } },
  });
  return chartSvg(
    {
      width: 420,
      height: 320,
      layer: [
        half('x'),
        half('y'),
        {
          data: { values },
          mark: { type: 'circle', size: 46, opacity: 0.75 },
          encoding: {
            x: axis('text', 'share of the text alone'),
            y: axis('image', 'share of the image alone'),
            color: {
              field: 'behaviour',
              type: 'nominal',
              title: null,
              scale: {
                domain: behaviours.map((b) => behaviourText[b]),
                range: behaviours.map((b) => colours[b]),
              },
            },
          },
        },
      ],
    },
    `plane-${index}`,
    'Share of the text alone against share of the image alone, a point for each question',
  );
}

/** Shares of a question whose answer hardly moves can be far outside; the picture shows that they are. */
const clamp = (share: number) => Math.min(Math.max(share, -1), 1.5);

async function examplesHtml(
  rows: readonly AuditedRecord[],
  pictureOf: (record: AuditedRecord) => Promise<RgbImage | null>,
): Promise<string> {
  const ranked = rankQuestions(rows);
  const groups: string[] = [];
  for (const kind of behaviours) {
    const figures: string[] = [];
    for (const row of ranked.filter(({ behaviour }) => behaviour === kind).slice(0, shownOfEach)) {
      const picture = await pictureOf(row);
      const image =
        picture === null
          ? ''
          : `<img alt="" src="data:image/png;base64,${(await encodePng(picture)).toString('base64')}">`;
      const { full, imageOnly, textOnly, empty } = row.corners;
      const values = [full, imageOnly, textOnly, empty].map((value) => decimal(value, 2));
      figures.push(
        `<figure>${image}<figcaption>${escapeHtml(row.question)} <b>${escapeHtml(row.answer)}</b>${row.correct === false ? ` (expected ${escapeHtml(row.expected)})` : ''}<br>whole ${values[0]}, image alone ${values[1]}, text alone ${values[2]}, neither ${values[3]}</figcaption></figure>`,
      );
    }
    if (figures.length > 0)
      groups.push(`<h4>${behaviourText[kind]}</h4><div class="examples">${figures.join('\n')}</div>`);
  }
  return groups.join('\n');
}

function percent(fraction: number): string {
  return Number.isNaN(fraction) ? '-' : `${Math.round(100 * fraction)} %`;
}
