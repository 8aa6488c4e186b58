import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { report as command } from '../../lib/cli/report.js';
import { analyse } from '../../lib/report/analysis.js';
import { ResultDigest } from '../../lib/report/digest.js';
import { fileStem, latexText, modelStems } from '../../lib/report/latex.js';
import { plausibilityAgreement } from '../../lib/report/plausibility.js';
import { Pool } from '../../lib/report/pool.js';
import type { MeasuredRecord } from '../../lib/report/record.js';
import { findTelling } from '../../lib/report/telling.js';
import { readReport } from '../../lib/runner/conclude.js';
import { decimal } from '../../lib/text-table.js';
import { runCommand } from '../cli/run-command.js';
import { fixtureRecords, writeFixture } from './fixture.js';

let home: string;
let out: string;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'fsyn-paper-'));
  const folder = join(home, 'run');
  await writeFixture(folder, { samples: 8, models: ['tiny_a & 50%'] }, null);
  const [latex, figures] = [join(home, 'latex'), join(home, 'figures')];
  const extra = ['--format', 'md', '--resamples', '100', '--latex', latex, '--figures', figures];
  ({ out } = await runCommand(command, folder, ...extra));
});
afterAll(() => rmSync(home, { recursive: true }));

test('tables for LaTeX have the numbers of the report and whole rows', async () => {
  const folder = join(home, 'latex');
  expect(out).toContain(`5 LaTeX tables in ${folder}`);
  const files = readdirSync(folder);
  expect(files).toContain('tiny_a-50-f-syn.tex');
  for (const name of files) {
    const text = readFileSync(join(folder, name), 'utf8');
    const [, columns] = /\\begin\{tabular\}\{(l?r*)\}/.exec(text)!;
    const rows = text.split('\n').filter((line) => line.endsWith('\\\\'));
    expect(rows.length).toBeGreaterThan(1);
    for (const row of rows) expect(row.split(/(?<!\\)&/)).toHaveLength(columns.length);
    expect(text.match(/\\(top|mid|bottom)rule/g)).toHaveLength(3);
  }
  const report = await readReport(join(home, 'run'), { resamples: 100 });
  const best = report.models[0].overall.explainers.find(({ name }) => name === 'occlusion')!;
  const table = readFileSync(join(folder, 'tiny_a-50-f-syn.tex'), 'utf8');
  expect(table).toContain(`The occlusion & ${decimal(best.means.raw.estimate)}`);
  expect(readFileSync(join(folder, 'models.tex'), 'utf8')).toContain('tiny\\_a \\& 50\\%');
});

test('text is escaped for LaTeX', () => {
  expect(latexText('a_b & 50 % #1 {x} $y$ \\z ~ ^ < 0.1 |')).toBe(
    'a\\_b \\& 50 \\% \\#1 \\{x\\} \\$y\\$ \\textbackslash{}z \\textasciitilde{} \\textasciicircum{} \\textless{} 0.1 \\textbar{}',
  );
  expect(latexText('F_syn raw -0.2 [-0.3, -0.1] 1-3')).toBe(
    '$F_{\\mathrm{syn}}$ raw $-$0.2 [$-$0.3, $-$0.1] 1-3',
  );
  expect(fileStem('a/b:c d')).toBe('a-b-c-d');
  expect(modelStems(['a b', 'A:b', 'c', '&'])).toEqual(['a-b', 'A-b-2', 'c', 'model']);
});

test('figures are drawings of their own', async () => {
  const folder = join(home, 'figures');
  const files = readdirSync(folder).sort();
  expect(out).toContain(`${files.length} figures in ${folder}`);
  expect(files).toEqual(
    ['cost', 'curves', 'exact-index-steps', 'exact-index', 'f-syn', 'ranks'].map(
      (name) => `tiny_a-50-${name}.svg`,
    ),
  );
  for (const name of files) {
    const svg = readFileSync(join(folder, name), 'utf8');
    expect(svg).not.toMatch(/var\(--|system-ui/);
    const { data, info } = await sharp(Buffer.from(svg))
      .flatten({ background: '#fff' })
      .raw()
      .toBuffer({ resolveWithObject: true });
    // Ink of more than one colour.
    const colours = new Set<number>();
    for (let i = 0; i < data.length; i += info.channels)
      colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    expect(colours.size).toBeGreaterThan(20);
  }
});

test('plausibility of one modality has no correlation of the other, and breaks nothing', () => {
  const digest = new ResultDigest();
  const records = [...fixtureRecords({ samples: 6, datasets: ['presence'], shapleyEvery: 0, failEvery: 0 })];
  for (const [i, record] of records.entries()) {
    const energy = { occlusion: 0.5, 'grad-cam': 0.1, 'attn-lrp': 0.9 }[record.explainer] ?? 0;
    const image = { pointing: 1, energy, iou: energy };
    digest.add({ ...(record as MeasuredRecord), plausibility: { image, text: null } }, `f:${i}`);
  }
  const pool = new Pool([...digest.groups.values()]);
  const scope = analyse(pool, null, { resamples: 100, seed: 0, explainSeconds: {}, steps: digest.steps });
  const { body } = plausibilityAgreement(scope);
  // AttnLRP, Occlusion and Grad-CAM have their F_syn in this order; all point alike.
  expect(body).toEqual([
    ['plausibility, image', '-', '1.00', '1.00'],
    ['plausibility, text', '-', '-', '-'],
  ]);
});

describe('telling samples', () => {
  const records = [...fixtureRecords({ samples: 5, datasets: ['presence'], shapleyEvery: 0, failEvery: 0 })];
  const samples = [...new Set(records.map(({ sample }) => sample))];
  const change = (record: MeasuredRecord): MeasuredRecord => {
    const [trap, contradiction, failure, easy] = samples;
    const { sample, explainer } = record;
    let [image, text, synergy, full] = [0.2, 0.2, 0.3, 0.9];
    if (sample === trap && explainer === 'occlusion') [image, synergy] = [0.6, 0.05];
    if (sample === contradiction && explainer === 'grad-cam') [image, text] = [0.7, -0.3];
    // Oracle finds what acts together, which is no explainer's merit.
    if ((sample === failure || sample === easy) && explainer !== 'oracle') synergy = 0.01;
    if (sample === easy) full = 0.1;
    return {
      ...record,
      corners: { full, imageOnly: 0.1, textOnly: 0.1, empty: 0.1 },
      image: { ...record.image, normalisedSrg: image },
      text: { ...record.text, normalisedSrg: text },
      synergy: { ...record.synergy, normalised: { ...record.synergy.normalised, mean: synergy } },
    };
  };

  test('are a visual trap, a contradiction and a failure of all, each where it is', () => {
    const digest = new ResultDigest();
    for (const [i, record] of records.entries()) digest.add(change(record as MeasuredRecord), `f:${i}`);
    const found = findTelling(new Pool([...digest.groups.values()]));
    expect(found.map(({ kind, sample, explainer, count }) => [kind, sample, explainer, count])).toEqual([
      ['visual trap', samples[0], 'occlusion', 1],
      ['contradiction', samples[1], 'grad-cam', 1],
      ['failure of all', samples[2], 'occlusion', 1],
    ]);
    expect(found[0].better).toBe('grad-cam');
    expect(found[0]).toMatchObject({ imageSrg: 0.6, synergy: 0.05, dataset: 'presence' });
  });
});
