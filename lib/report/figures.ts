import {
  bandedExplainers,
  contradictionChart,
  costChart,
  curveChart,
  forestChart,
  shapleyScatter,
  stepChart,
} from './charts.js';
import { ExplainerStyle } from './explainer-style.js';
import { modelStems } from './latex.js';
import { colourOf } from './palette.js';
import { plausibilityChart } from './plausibility.js';
import type { Report } from './report.js';
import { explainerNames } from './wording.js';

/** Fonts that a drawing program has; `system-ui` is a browser's. */
const font = 'Helvetica, Arial, sans-serif';

/**
 * The figures of a report as SVG files of their own, by file name, in the colours of paper: means, ranks from
 * image to text to both (a bump chart), curves, cost against faithfulness, the exact index and plausibility
 * where there are some.
 */
export async function renderFigures(report: Report): Promise<ReadonlyMap<string, string>> {
  const style = new ExplainerStyle(explainerNames(report), report.titles);
  const stems = modelStems(report.models.map(({ model }) => model));
  const figures = new Map<string, string>();
  for (const [i, { model, overall, curves }] of report.models.entries()) {
    const id = (name: string) => `${name}${i}`;
    const random = overall.explainers.find(({ name }) => name === 'random');
    const drawings: readonly (readonly [string, Promise<string> | null])[] = [
      [
        'f-syn',
        forestChart(
          id('forest'),
          overall.explainers.map((row) => ({ name: row.name, ...row.means.raw })),
          style,
          {
            title: 'F_syn raw, mean and 95 % interval; line: Random',
            reference: random && random.samples > 0 ? random.means.raw.estimate : 0,
            label: `Mean F_syn of every explainer on ${model}`,
          },
        ),
      ],
      ['ranks', contradictionChart(id('ranks'), overall, style)],
      ['curves', curveChart(id('curves'), curves, report.steps, style, bandedExplainers(overall))],
      ['cost', costChart(id('cost'), overall, style)],
      ['exact-index', shapleyScatter(id('sii'), overall, style)],
      ['exact-index-steps', stepChart(id('steps'), overall)],
      ['plausibility', plausibilityChart(id('plausible'), overall, style)],
    ];
    for (const [name, drawing] of drawings)
      if (drawing) figures.set(`${stems[i]}-${name}.svg`, standalone(await drawing));
  }
  return figures;
}

/** A page's drawing without the page: its colours named, its namespace said. */
function standalone(svg: string): string {
  const coloured = svg
    .replace(/var\(--([\w-]+)\)/g, (_, name: string) => colourOf(name))
    .replaceAll('system-ui, sans-serif', font);
  const named = coloured.includes('xmlns=')
    ? coloured
    : coloured.replace('<svg', '<svg xmlns="http://www.w3.org/2000/svg"');
  return `<?xml version="1.0" encoding="UTF-8"?>\n${named}\n`;
}
