import { ExplainerStyle } from './explainer-style.js';
import { plausibilityTable } from './plausibility.js';
import type { Report } from './report.js';
import {
  agreementTable,
  comparisonTable,
  type ReportTable,
  rankTable,
  scopeTable,
  synergyTable,
} from './report-tables.js';
import { explainerNames } from './wording.js';

/**
 * The tables of a report for a paper, by file name: F_syn, ranks, pairs, correlations with the exact index,
 * plausibility where there is truth, and all models. Each file is a `tabular` of the package booktabs, to be
 * put into a `table` by \input.
 */
export function renderLatex(report: Report): ReadonlyMap<string, string> {
  const style = new ExplainerStyle(explainerNames(report), report.titles);
  const stems = modelStems(report.models.map(({ model }) => model));
  const tables = report.models.flatMap(({ overall }, i): [string, ReportTable][] => [
    [`${stems[i]}-f-syn`, synergyTable(overall, style)],
    [`${stems[i]}-ranks`, rankTable(overall, style)],
    [`${stems[i]}-pairs`, comparisonTable(overall.pairs, style)],
    [`${stems[i]}-correlations`, agreementTable(overall)],
    [`${stems[i]}-plausibility`, plausibilityTable(overall, style)],
  ]);
  tables.push(['models', scopeTable(report.models)]);
  return new Map(
    tables
      .filter(([, { body }]) => body.length > 0)
      .map(([name, table]) => [`${name}.tex`, tabular(table, report.source)]),
  );
}

/** A name as a file name that every system takes. */
export function fileStem(name: string): string {
  return name
    .replace(/[^\p{L}\p{N}._-]+/gu, '-')
    .replace(/-{2,}/g, '-')
    .replace(/^-|-$/g, '');
}

/**
 * Of every model the beginning of its files' names; names that differ in other characters only are numbered.
 */
export function modelStems(names: readonly string[]): string[] {
  const stems = names.map((name) => fileStem(name) || 'model');
  return stems.map((stem, i) => {
    const earlier = stems.slice(0, i).filter((other) => other.toLowerCase() === stem.toLowerCase()).length;
    return earlier === 0 ? stem : `${stem}-${earlier + 1}`;
  });
}

function tabular({ head, body }: ReportTable, source: string): string {
  const line = (cells: readonly string[]) => `${cells.map(latexText).join(' & ')} \\\\`;
  return [
    `% fsyn report of ${source.replace(/\s+/g, ' ')}; needs \\usepackage{booktabs}`,
    `\\begin{tabular}{l${'r'.repeat(head.length - 1)}}`,
    '\\toprule',
    line(head),
    '\\midrule',
    ...body.map(line),
    '\\bottomrule',
    '\\end{tabular}',
    '',
  ].join('\n');
}

const special: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '|': '\\textbar{}',
};

/**
 * Text as LaTeX prints it: what is special there is escaped, F_syn is set as a formula, a minus before a
 * digit as one.
 */
export function latexText(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/[\\~^<>|]|[&%$#_{}]/g, (character) => special[character] ?? `\\${character}`)
    .replaceAll('F\\_syn', '$F_{\\mathrm{syn}}$')
    .replace(/(^|[\s[(,])-(?=\d)/g, '$1$-$');
}
