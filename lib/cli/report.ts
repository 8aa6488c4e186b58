import { existsSync, mkdirSync } from 'node:fs';
import { extname, join } from 'node:path';
import { renderConsole } from '../report/console.js';
import { renderCsv } from '../report/csv.js';
import { renderFigures } from '../report/figures.js';
import { renderHtml } from '../report/html.js';
import { renderLatex } from '../report/latex.js';
import { renderMarkdown } from '../report/markdown.js';
import type { Report } from '../report/report.js';
import { readReport } from '../runner/conclude.js';
import { writeWhole } from '../whole-file.js';
import { type Command, exitCodes, UsageError } from './command.js';

const renderers: Readonly<Record<string, (report: Report) => string | Promise<string>>> = {
  html: renderHtml,
  md: renderMarkdown,
  csv: renderCsv,
};

type FileSet = ReadonlyMap<string, string>;

/** What a paper takes, a file each. */
const extras: readonly (readonly [string, string, (report: Report) => FileSet | Promise<FileSet>])[] = [
  ['latex', 'LaTeX tables', renderLatex],
  ['figures', 'figures', renderFigures],
];

export const report: Command = {
  name: 'report',
  summary: 'turn a results folder into a page with tables, charts and samples',
  description:
    'Reads the rows of a results folder and writes one self-contained HTML page (nothing is loaded from a network):\n' +
    'which explainer is faithful on each model, whether the metric can be believed there, and the evidence.\n' +
    'Also writes the tables as Markdown and every statistic as CSV.',
  operand: { name: 'results', value: 'RESULTS', help: 'results folder of `fsyn bench`' },
  options: {
    out: { kind: 'string', value: 'FILE', help: 'file to write (default RESULTS/report.html, .md, .csv)' },
    format: { kind: 'list', value: 'NAMES', help: 'comma-separated: html, md, csv', fallback: ['html'] },
    latex: { kind: 'string', value: 'DIR', help: 'also write the tables for LaTeX (booktabs), a file each' },
    figures: { kind: 'string', value: 'DIR', help: 'also write the figures as SVG, a file each' },
    settings: {
      kind: 'string',
      value: 'KEY',
      help: 'settings key to report on, where a folder holds rows of several',
    },
    resamples: {
      kind: 'integer',
      value: 'N',
      minimum: 100,
      help: 'bootstrap resamples of every interval',
      fallback: 2000,
    },
    seed: { kind: 'integer', value: 'S', minimum: 0, help: 'seed of the resampling', fallback: 0 },
  },
  async run(values, io) {
    const folder = values.required('results');
    const formats = [...new Set(values.list('format'))];
    const unknown = formats.find((format) => !(format in renderers));
    if (formats.length === 0 || unknown !== undefined) {
      throw new UsageError(
        `Expected ${Object.keys(renderers).join(', ')} for --format but received ${JSON.stringify(unknown ?? '')}.`,
      );
    }
    if (!existsSync(folder)) throw new UsageError(`There is no folder ${JSON.stringify(folder)}.`);
    const built = await readReport(folder, {
      resamples: values.number('resamples'),
      seed: values.number('seed'),
      settings: values.string('settings'),
      signal: io.signal,
    });
    io.out(`${renderConsole(built, io.width)}\n\n`);
    for (const format of formats) {
      const path = outputPath(folder, values.string('out'), format, formats.length > 1);
      writeWhole(path, await renderers[format](built));
      io.out(`report in ${path}\n`);
    }
    for (const [option, what, render] of extras) {
      const target = values.string(option);
      if (target !== undefined) io.out(`${writeAll(target, await render(built))} ${what} in ${target}\n`);
    }
    return exitCodes.ok;
  },
};

/** Returns how many files it wrote. */
function writeAll(folder: string, files: ReadonlyMap<string, string>): number {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of files) writeWhole(join(folder, name), text);
  return files.size;
}

/** --out names the file; with several formats each takes its own extension. */
function outputPath(folder: string, out: string | undefined, format: string, several: boolean): string {
  if (out === undefined || out === '') return join(folder, `report.${format}`);
  if (!several) return out;
  const extension = extname(out);
  const stem = extension === '' ? out : out.slice(0, -extension.length);
  return `${stem}.${format}`;
}
