import type { TopLevelSpec } from 'vega-lite';
import { escapeHtml } from '../html-text.js';
import { kendall } from '../statistics/ranks.js';
import { decimal, interval } from '../text-table.js';
import type { ExplainerStyle } from './explainer-style.js';
import { bySynergy, type ReportTable } from './report-tables.js';
import type { Measure } from './row-measures.js';
import type { ExplainerAnalysis, ScopeAnalysis } from './scope.js';
import { chartSvg } from './svg.js';

export const plausibilityMeasures = [
  'imagePointing',
  'imageEnergy',
  'imageIou',
  'textPointing',
  'textEnergy',
  'textIou',
] as const satisfies readonly Measure[];

export function isPlausibility(measure: Measure): boolean {
  return (plausibilityMeasures as readonly Measure[]).includes(measure);
}

/** Explainers with a row whose sample marks something. */
function marked({ explainers }: ScopeAnalysis): ExplainerAnalysis[] {
  return bySynergy(explainers).filter(({ means }) =>
    plausibilityMeasures.some((measure) => !Number.isNaN(means[measure].estimate)),
  );
}

/** Plausibility beside faithfulness; without rows where no sample has ground truth. */
export function plausibilityTable(scope: ScopeAnalysis, style: ExplainerStyle): ReportTable {
  return {
    head: [
      'explainer',
      'F_syn raw',
      'image: pointing',
      'energy inside',
      'IoU',
      'text: pointing',
      'energy inside',
      'IoU',
      'n',
    ],
    body: marked(scope).map(({ name, means, samples }) => [
      style.title(name),
      interval(means.raw),
      ...plausibilityMeasures.map((measure) => interval(means[measure], 2)),
      String(samples),
    ]),
  };
}

/**
 * Kendall's tau-b between the explainers' means of plausibility and of F_syn, controls aside: whether what
 * looks right is right. Without rows below three explainers.
 */
export function plausibilityAgreement(scope: ScopeAnalysis): ReportTable {
  const rows = marked(scope).filter(({ control }) => !control);
  const tau = (measure: Measure) => {
    // A modality in which nothing is marked has no plausibility.
    const known = rows.filter(({ means }) => !Number.isNaN(means[measure].estimate));
    const of = (which: Measure) => known.map(({ means }) => means[which].estimate);
    return known.length < 3 ? Number.NaN : kendall(of(measure), of('raw'));
  };
  const sides = ['image', 'text'] as const;
  return {
    head: ['tau of F_syn with', 'pointing', 'energy inside', 'IoU'],
    body:
      rows.length < 3
        ? []
        : sides.map((side) => [
            `plausibility, ${side}`,
            ...(['Pointing', 'Energy', 'Iou'] as const).map((kind) => decimal(tau(`${side}${kind}`), 2)),
          ]),
  };
}

/** Share of the scores inside the truth against F_syn, both modalities. Null without ground truth. */
export function plausibilityChart(
  id: string,
  scope: ScopeAnalysis,
  style: ExplainerStyle,
): Promise<string> | null {
  const rows = marked(scope);
  if (rows.length === 0) return null;
  const names = rows.map(({ name }) => name);
  const panel = (measure: Measure, title: string) => ({
    title,
    width: 300,
    height: 240,
    data: {
      values: rows
        .filter(({ means }) => !Number.isNaN(means[measure].estimate))
        .map(({ name, means }) => ({
          title: style.title(name),
          plausible: means[measure].estimate,
          faithful: means.raw.estimate,
        })),
    },
    mark: { type: 'point', filled: true, size: 90, opacity: 1 },
    encoding: {
      x: {
        field: 'plausible',
        type: 'quantitative',
        title: 'plausible: share of positive scores inside the truth',
        scale: { domain: [0, 1] },
      },
      y: {
        field: 'faithful',
        type: 'quantitative',
        title: 'faithful: F_syn raw',
        scale: { zero: false },
      },
      color: {
        field: 'title',
        type: 'nominal',
        scale: style.scale(names),
        title: null,
        legend: { symbolOpacity: 1, symbolType: 'circle' },
      },
    },
  });
  const spec = {
    concat: [panel('imageEnergy', 'image'), panel('textEnergy', 'words')],
    resolve: { scale: { color: 'shared' } },
  };
  return chartSvg(spec as TopLevelSpec, id, 'Plausibility of every explainer against its faithfulness');
}

/** The section of a page; empty where no sample has ground truth. */
export async function plausibilitySection(
  id: string,
  scope: ScopeAnalysis,
  style: ExplainerStyle,
  tableHtml: (table: ReportTable) => string,
): Promise<string> {
  const chart = plausibilityChart(id, scope, style);
  if (!chart) return '';
  const agreement = plausibilityAgreement(scope);
  const note =
    'Plausible is what agrees with the marked places and words, faithful what agrees with the model. ' +
    'Pointing: the largest score lies on a marked player. Energy: share of the positive scores there. ' +
    'IoU: of the marked players with those above Otsu’s threshold. A map may be either without the other: a model that ' +
    'looks elsewhere has faithful maps that look wrong, and a map drawn by hand is plausible on every model. ' +
    'Mismatch has rows on samples with distractors only: it is compared with the others on equal samples among the controls.';
  return `<h3>Plausible or faithful?</h3>
<figure>${await chart}</figure>
${tableHtml(plausibilityTable(scope, style))}
${agreement.body.length > 0 ? tableHtml(agreement) : ''}
<p class="note">${escapeHtml(note)}</p>`;
}
