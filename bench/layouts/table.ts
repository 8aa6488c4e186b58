/**
 * Writes the table of docs/layouts.md from rows of compare.ts: `node dist/bench/layouts/table.js FILE...`.
 * Files given later replace rows of earlier ones; the rows are kept in bench/layouts/rows.json.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageInfo } from '../../lib/package.js';
import type { LayoutRow } from './rows.js';

const MODELS = ['llava-tiny', 'qwen2_5_vl-tiny', 'internvl-tiny'];
/** In the order of make.py. */
const LAYOUTS = [
  'fp32',
  'fp32, external data in three files',
  'fp16',
  'fp16, inputs and outputs fp32',
  'q4',
  'q4, zero points',
  'q4, accuracy level 4',
  'q4f16',
  'q2',
  'bnb4',
  'int8',
  'uint8',
  'quantized (q8)',
  'int8 weights, DequantizeLinear',
  'GQA, rotation outside',
  'GQA, rotation inside',
  'GQA, rotation inside, position_ids',
  'GQA, rotation inside, packed',
  'GQA, rotation inside, packed, position_ids',
  'GQA, rotation inside, packed, q4f16',
  "opset 18 (PyTorch's newer exporter)",
  "opset 23 (PyTorch's newer exporter)",
  'opset 23, standard operators',
];
const METHODS = 10;
const HEAD = [
  'layout',
  'from PyTorch',
  'from one by one',
  'explainers of 10',
  'times faster',
  'not shared because',
];

const root = packageInfo().root;
const kept = join(root, 'bench/layouts/rows.json');
const page = join(root, 'docs/layouts.md');

function read(path: string): LayoutRow[] {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LayoutRow[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Two digits, as people write small numbers. */
function small(value: number): string {
  return value === 0 ? '0' : value.toExponential(1).replace('e-0', 'e-').replace('e+0', '');
}

/** Reasons that cells are marked with, numbered in order of appearance. */
const notes: string[] = [];
function note(reason: string): string {
  const text = reason
    // Names of layouts hold blanks.
    .replaceAll(/^.*?\/onnx\//gm, '')
    .replaceAll('\n', ' ')
    .trim();
  if (!notes.includes(text)) notes.push(text);
  return `[${notes.indexOf(text) + 1}]`;
}

function line(row: LayoutRow | undefined, layout: string): string[] {
  if (row === undefined) throw new Error(`There is no row of ${layout}: run compare.js.`);
  if (row.impossible !== undefined) return [layout, 'no such export', '', '', '', note(row.impossible)];
  if (row.measured === undefined) return [layout, 'cannot be run', '', '', '', note(row.failed ?? '')];
  const { pytorch, oneByOne, speedup, fallbacks } = row.measured;
  const left = Object.values(row.explainers ?? {});
  const marks = [...new Set(left.map((reason) => note(reason.replaceAll(/\(node .*?\)/g, '(a node)'))))];
  return [
    layout,
    small(Math.max(pytorch.remove, pytorch.attend)),
    small(oneByOne),
    `${METHODS - left.length} ${marks.join(' ')}`.trim(),
    speedup.toFixed(1),
    fallbacks.join(', '),
  ];
}

const all = new Map<string, LayoutRow>();
for (const file of [kept, ...process.argv.slice(2)])
  for (const row of read(file)) all.set(`${row.model} ${row.layout}`, row);
const rows = MODELS.flatMap((model) => LAYOUTS.map((layout) => all.get(`${model} ${layout}`))).filter(
  (row) => row !== undefined,
);
writeFileSync(kept, `${JSON.stringify(rows, null, 1)}\n`);
const parts = MODELS.flatMap((model) => [
  `### ${model}`,
  '',
  `| ${HEAD.join(' | ')} |`,
  `|${HEAD.map((_, i) => (i === 0 || i === 5 ? '---|' : '--:|')).join('')}`,
  ...LAYOUTS.map((layout) => `| ${line(all.get(`${model} ${layout}`), layout).join(' | ')} |`),
  '',
]);
const table = [...parts, ...notes.map((text, i) => `[${i + 1}] ${text}${text.endsWith('.') ? '' : '.'}  `)];
const [before, after] = ['<!-- table -->', '<!-- end of table -->'];
const text = readFileSync(page, 'utf8');
const [start, end] = [text.indexOf(before), text.indexOf(after)];
if (start < 0 || end < 0) throw new Error(`Expected ${before} and ${after} in ${page}.`);
writeFileSync(page, `${text.slice(0, start + before.length)}\n${table.join('\n')}\n${text.slice(end)}`);
