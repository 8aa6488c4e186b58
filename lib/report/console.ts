import type { ExplainerSummary, GroupSummary } from './summary.js';
import { type Column, decimal, interval, textTable } from './table.js';

/** What the benchmark prints at its end: per model and dataset the explainers ranked by raw F_syn, then what it means. */
export function renderSummary(
  groups: readonly GroupSummary[],
  explainSeconds: Readonly<Record<string, number>>,
): string {
  const models = [...new Set(groups.map((group) => group.model))];
  return models
    .map((model) =>
      renderModel(
        groups.filter((group) => group.model === model),
        explainSeconds,
      ),
    )
    .join('\n\n');
}

/** @param groups of one model, the pooled one first where there are several */
function renderModel(
  groups: readonly GroupSummary[],
  explainSeconds: Readonly<Record<string, number>>,
): string {
  const [group, ...datasets] = groups;
  const ranked = [...group.explainers].sort((a, b) => rankValue(b) - rankValue(a));
  const accuracy = Number.isNaN(group.accuracy) ? '-' : `${(100 * group.accuracy).toFixed(1)} %`;
  const parts = [
    `${group.model} on ${group.dataset}: ${group.samples} samples, model accuracy ${accuracy}`,
    textTable(mainColumns(explainSeconds), ranked),
  ];
  const groundings = ['grounded', 'text-prior', 'image-prior'].filter((name) =>
    ranked.some((row) => row.byGrounding[name]),
  );
  if (groundings.length > 0) {
    parts.push(
      'F_syn raw by what a correct answer needs',
      textTable(groundingColumns(groundings, ranked), ranked),
    );
  }
  if (datasets.length > 0) parts.push('F_syn raw by dataset', textTable(datasetColumns(datasets), ranked));
  parts.push(findings(group).join('\n'));
  return parts.join('\n\n');
}

function datasetColumns(datasets: readonly GroupSummary[]): Column<ExplainerSummary>[] {
  return [
    { title: 'explainer', align: 'left', value: (row) => row.explainer },
    ...datasets.map((group) => ({
      title: `${group.dataset} (n=${group.samples}, accuracy ${(100 * group.accuracy).toFixed(0)} %)`,
      value: (row: ExplainerSummary) => {
        const found = group.explainers.find((candidate) => candidate.explainer === row.explainer);
        return found ? interval(found.synergyRaw) : '-';
      },
    })),
  ];
}

function rankValue(row: ExplainerSummary): number {
  return Number.isNaN(row.synergyRaw.estimate) ? Number.NEGATIVE_INFINITY : row.synergyRaw.estimate;
}

function mainColumns(explainSeconds: Readonly<Record<string, number>>): Column<ExplainerSummary>[] {
  return [
    { title: 'explainer', align: 'left', value: (row) => row.explainer },
    { title: 'F_syn raw', value: (row) => interval(row.synergyRaw) },
    { title: 'normalised', value: (row) => interval(row.synergyNormalised) },
    { title: 'clipped', value: (row) => interval(row.synergyClipped) },
    { title: 'image SRG', value: (row) => interval(row.imageSrg) },
    { title: 'text SRG', value: (row) => interval(row.textSrg) },
    { title: 'SII', value: (row) => interval(row.shapley) },
    { title: 'n(SII)', value: (row) => String(row.shapleySamples) },
    { title: 'n', value: (row) => String(row.samples) },
    { title: 'failed', value: (row) => String(row.failures) },
    { title: 's/sample', value: (row) => decimal(explainSeconds[row.explainer] ?? Number.NaN) },
  ];
}

function groundingColumns(
  names: readonly string[],
  rows: readonly ExplainerSummary[],
): Column<ExplainerSummary>[] {
  return [
    { title: 'explainer', align: 'left', value: (row) => row.explainer },
    ...names.map((name) => ({
      title: `${name} (n=${Math.max(...rows.map((row) => row.byGrounding[name]?.samples ?? 0))})`,
      value: (row: ExplainerSummary) => (row.byGrounding[name] ? interval(row.byGrounding[name]) : '-'),
    })),
  ];
}

function findings(group: GroupSummary): string[] {
  const lines = group.separation.map(({ better, worse, difference }) => {
    const verdict = difference.low > 0 ? 'told apart' : difference.high < 0 ? 'REVERSED' : 'NOT told apart';
    return `grounded samples, ${better} - ${worse}: ${interval(difference)} -> ${verdict}`;
  });
  lines.push(
    `visual against textual ranking of explainers (SRG): Kendall tau ${decimal(group.unimodalTau, 2)}`,
  );
  const { rows, raw, insertion, deletion, rawWithoutEndpoint } = group.synergyAgainstShapley;
  if (rows > 0) {
    lines.push(
      `F_syn against SII over ${rows} rows: Spearman ${decimal(raw, 2)} (insertion ${decimal(insertion, 2)}, ` +
        `deletion ${decimal(deletion, 2)}; without the shared endpoint ${decimal(rawWithoutEndpoint, 2)})`,
    );
  }
  return lines;
}
