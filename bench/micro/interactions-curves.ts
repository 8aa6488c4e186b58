// Error against budget of the estimators on two families of games; writes docs/interactions-error.csv and .svg.
//
//   node dist/bench/micro/interactions-curves.js [games per family] [estimator,...] [budget,...]
//
// With estimators named, only those are measured; the rows of the others are kept as they are in the file.
import { readFileSync, writeFileSync } from 'node:fs';
import {
  type EstimatorName,
  estimate,
  FsynError,
  interactionsSync,
  ValueTable,
} from '../../lib/interactions/index.js';
import { packageInfo } from '../../lib/package.js';
import { Random } from '../../lib/statistics/random.js';

const IMAGE = 8;
const TEXT = 6;
const PLAYERS = IMAGE + TEXT;
const BUDGETS = [128, 192, 256, 384, 512, 768, 1024, 1536, 2048];
const ESTIMATORS: readonly EstimatorName[] = [
  'regression',
  'product',
  'kernel-shap-iq',
  'permutation',
  'svarm-iq',
  'shap-iq',
  'sparse',
];
const PAIRS = {
  image: Array.from({ length: IMAGE }, (_, i) => i),
  text: Array.from({ length: TEXT }, (_, i) => IMAGE + i),
};

type Family = 'sparse' | 'saturating';

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}

/**
 * Main effects, 12 cross pairs, half of them with a third player, 4 image pairs; 'saturating' squashes the sum to 0..1 as a
 * probability does, which spreads small interactions over all orders.
 */
function drawGame(family: Family, seed: number): ValueTable {
  const random = new Random(seed);
  const parts: { mask: number; weight: number }[] = [];
  for (let i = 0; i < PLAYERS; i++) parts.push({ mask: 1 << i, weight: 0.5 * normal(random) });
  for (let k = 0; k < 12; k++) {
    const mask = (1 << random.integer(IMAGE)) | (1 << (IMAGE + random.integer(TEXT)));
    const weight = normal(random);
    parts.push({ mask, weight });
    if (random.uniform() < 0.5)
      parts.push({ mask: mask | (1 << random.integer(PLAYERS)), weight: 0.7 * weight });
  }
  for (let k = 0; k < 4; k++) {
    parts.push({ mask: (1 << random.integer(IMAGE)) | (1 << random.integer(IMAGE)), weight: normal(random) });
  }
  const values = new Float64Array(2 ** PLAYERS);
  for (let s = 0; s < values.length; s++) {
    for (const { mask, weight } of parts) if ((s & mask) === mask) values[s] += weight;
  }
  if (family === 'saturating') {
    const middle = Float64Array.from(values).sort()[values.length / 2];
    for (let s = 0; s < values.length; s++) values[s] = 1 / (1 + Math.exp(-1.5 * (values[s] - middle)));
  }
  return ValueTable.from(values);
}

interface Row {
  readonly family: Family;
  readonly estimator: EstimatorName;
  readonly budget: number;
  readonly coalitions: number;
  readonly imageStates: number;
  readonly error: number;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}

/** Median over the games; null when the budget is too small for the estimator on one of them. */
async function measure(
  family: Family,
  estimator: EstimatorName,
  budget: number,
  games: readonly ValueTable[],
): Promise<Row | null> {
  const errors: number[] = [];
  const coalitions: number[] = [];
  const imageStates: number[] = [];
  for (const [seed, game] of games.entries()) {
    const exact = interactionsSync(game, { pairs: PAIRS });
    try {
      const found = await estimate(PLAYERS, game.toValueFunction(), {
        estimator,
        pairs: PAIRS,
        budget,
        seed,
      });
      let [difference, size] = [0, 0];
      for (const [i, value] of exact.values.entries()) {
        difference += (found.values[i] - value) ** 2;
        size += value ** 2;
      }
      errors.push(difference / size);
      coalitions.push(found.provenance!.spent.distinctCoalitions);
      imageStates.push(found.provenance!.spent.imageStates!);
    } catch (error) {
      if (error instanceof FsynError && (error.code === 'BUDGET' || error.code === 'RANK_DEFICIENT'))
        return null;
      throw error;
    }
  }
  return {
    family,
    estimator,
    budget,
    coalitions: median(coalitions),
    imageStates: median(imageStates),
    error: median(errors),
  };
}

const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];

/** A log-log panel of relative error over `x`. */
function panel(
  rows: readonly Row[],
  x: (row: Row) => number,
  left: number,
  title: string,
  label: string,
): string {
  const [width, height, top] = [330, 260, 50];
  const xs = rows.map(x);
  const [lowX, highX] = [Math.log10(Math.min(...xs)), Math.log10(Math.max(...xs))];
  const [lowY, highY] = [-3, 1.5];
  const px = (value: number) => left + (width * (Math.log10(value) - lowX)) / (highX - lowX);
  const py = (value: number) =>
    top + height - (height * (Math.min(Math.max(Math.log10(value), lowY), highY) - lowY)) / (highY - lowY);
  const parts = [
    `<text x="${left + width / 2}" y="${top - 14}" text-anchor="middle" font-weight="bold">${title}</text>`,
    `<rect x="${left}" y="${top}" width="${width}" height="${height}" fill="none" stroke="#888"/>`,
    `<text x="${left + width / 2}" y="${top + height + 34}" text-anchor="middle">${label}</text>`,
  ];
  for (const power of [-3, -2, -1, 0, 1]) {
    const y = py(10 ** power);
    parts.push(`<line x1="${left}" x2="${left + width}" y1="${y}" y2="${y}" stroke="#ddd"/>`);
    parts.push(`<text x="${left - 6}" y="${y + 4}" text-anchor="end">${10 ** power}</text>`);
  }
  for (const tick of [16, 32, 64, 128, 256, 512, 1024, 2048].filter(
    (t) => Math.log10(t) >= lowX && Math.log10(t) <= highX,
  )) {
    parts.push(`<text x="${px(tick)}" y="${top + height + 16}" text-anchor="middle">${tick}</text>`);
  }
  for (const [e, estimator] of ESTIMATORS.entries()) {
    const own = rows.filter((row) => row.estimator === estimator);
    const points = own.map((row) => `${px(x(row)).toFixed(1)},${py(row.error).toFixed(1)}`);
    parts.push(
      `<polyline points="${points.join(' ')}" fill="none" stroke="${COLOURS[e]}" stroke-width="2"/>`,
    );
    for (const point of points) {
      const [cx, cy] = point.split(',');
      parts.push(`<circle cx="${cx}" cy="${cy}" r="3" fill="${COLOURS[e]}"/>`);
    }
  }
  return parts.join('\n');
}

function picture(rows: readonly Row[]): string {
  const shown = rows.filter((row) => row.family === 'saturating');
  const legend = ESTIMATORS.map(
    (name, e) =>
      `<rect x="${60 + e * 110}" y="366" width="12" height="12" fill="${COLOURS[e]}"/><text x="${76 + e * 110}" y="377">${name}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 392" font-family="sans-serif" font-size="12">
<rect width="840" height="392" fill="white"/>
${panel(shown, (row) => row.coalitions, 60, 'per evaluation', 'distinct coalitions')}
${panel(shown, (row) => row.imageStates, 480, 'per image encoding', 'distinct image states')}
<text x="14" y="180" transform="rotate(-90 14 180)" text-anchor="middle">relative squared error of the cross pairs</text>
${legend.join('\n')}
</svg>
`;
}

const csv = `${packageInfo().root}/docs/interactions-error.csv`;

/** Rows of the file whose estimator is not measured again. */
function keptRows(measured: readonly string[]): Row[] {
  const lines = readFileSync(csv, 'utf8').trim().split('\n').slice(1);
  return lines
    .map((line) => line.split(','))
    .filter(([, estimator]) => !measured.includes(estimator))
    .map(([family, estimator, budget, coalitions, imageStates, error]) => ({
      family: family as Family,
      estimator: estimator as EstimatorName,
      budget: Number(budget),
      coalitions: Number(coalitions),
      imageStates: Number(imageStates),
      error: Number(error),
    }));
}

const count = Number(process.argv[2] ?? 10);
const measured = process.argv[3] ? (process.argv[3].split(',') as EstimatorName[]) : ESTIMATORS;
const budgets = process.argv[4] ? process.argv[4].split(',').map(Number) : BUDGETS;
const rows: Row[] = measured.length < ESTIMATORS.length ? keptRows(measured) : [];
for (const family of ['sparse', 'saturating'] as const) {
  const games = Array.from({ length: count }, (_, seed) => drawGame(family, 100 + seed));
  for (const estimator of measured) {
    for (const budget of budgets) {
      const row = await measure(family, estimator, budget, games);
      if (row) rows.push(row);
    }
  }
}
const families: readonly Family[] = ['sparse', 'saturating'];
rows.sort(
  (a, b) =>
    families.indexOf(a.family) - families.indexOf(b.family) ||
    ESTIMATORS.indexOf(a.estimator) - ESTIMATORS.indexOf(b.estimator) ||
    a.budget - b.budget,
);
const lines = rows.map((row) =>
  [row.family, row.estimator, row.budget, row.coalitions, row.imageStates, row.error.toPrecision(4)].join(
    ',',
  ),
);
writeFileSync(
  csv,
  `game,estimator,budget,distinct_coalitions,image_states,relative_squared_error\n${lines.join('\n')}\n`,
);
writeFileSync(`${packageInfo().root}/docs/interactions-error.svg`, picture(rows));
console.log(lines.join('\n'));
