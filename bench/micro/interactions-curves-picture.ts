import type { EstimatorName } from '../../lib/interactions/index.js';
import { quantile } from '../../lib/statistics/bootstrap.js';
import type { Row } from './interactions-curves-row.js';
import { defaultEstimator, PEER } from './interactions-curves-tables.js';
import type { Family } from './interactions-games.js';

const COLOURS: Readonly<Record<string, string>> = {
  sparse: '#2f7ed8',
  regression: '#e8590c',
  product: '#2b9d63',
  permutation: '#b05cc6',
  'svarm-iq': '#b08a1e',
  'shap-iq': '#8a94a0',
};

const [WIDTH, HEIGHT] = [370, 230];
const [LOW, HIGH] = [-3, 1];

interface Point {
  readonly x: number;
  readonly error: number;
  readonly budget: number;
}

function middle(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

/** Medians over the games, at budgets that all of them take. */
function curve(
  rows: readonly Row[],
  estimator: EstimatorName,
  x: (row: Row) => number,
  games: number,
): Point[] {
  const own = rows.filter((row) => row.estimator === estimator);
  return [...new Set(own.map((row) => row.budget))]
    .sort((a, b) => a - b)
    .map((budget) => own.filter((row) => row.budget === budget))
    .filter((at) => at.length === games)
    .map((at) => ({ x: middle(at.map(x)), error: middle(at.map((row) => row.error)), budget: at[0].budget }));
}

interface Panel {
  readonly family: Family;
  readonly x: (row: Row) => number;
  readonly left: number;
  readonly top: number;
  readonly title: string;
  readonly label: string;
  readonly ticks: readonly number[];
  readonly estimators: readonly EstimatorName[];
  /** Underlay what is taken without an estimator. */
  readonly marksDefault: boolean;
}

/** A log-log panel. */
function panel(
  all: readonly Row[],
  { family, x, left, top, title, label, ticks, estimators, marksDefault }: Panel,
): string {
  const rows = all.filter((row) => row.family === family);
  const games = new Set(rows.map((row) => row.game)).size;
  const [low, high] = [ticks[0], ticks[ticks.length - 1]].map(Math.log10);
  const px = (value: number) => left + (WIDTH * (Math.log10(value) - low)) / (high - low);
  const py = (value: number) => top + (HEIGHT * (HIGH - Math.log10(value))) / (HIGH - LOW);
  const clip = `clip-${left}-${top}`;
  const parts = [
    `<clipPath id="${clip}"><rect x="${left}" y="${top}" width="${WIDTH}" height="${HEIGHT}"/></clipPath>`,
    `<text x="${left}" y="${top - 10}" class="title">${title}</text>`,
    `<text x="${left + WIDTH / 2}" y="${top + HEIGHT + 36}" text-anchor="middle">${label}</text>`,
  ];
  for (const power of [1, 0, -1, -2, -3]) {
    const y = py(10 ** power).toFixed(1);
    parts.push(`<line x1="${left}" x2="${left + WIDTH}" y1="${y}" y2="${y}" class="grid"/>`);
    parts.push(`<text x="${left - 8}" y="${Number(y) + 4}" text-anchor="end">${10 ** power}</text>`);
  }
  for (const tick of ticks) {
    const at = px(tick).toFixed(1);
    parts.push(`<line x1="${at}" x2="${at}" y1="${top}" y2="${top + HEIGHT}" class="grid"/>`);
    parts.push(`<text x="${at}" y="${top + HEIGHT + 17}" text-anchor="middle">${tick}</text>`);
  }
  parts.push(`<g clip-path="url(#${clip})">`);
  const line = (points: readonly Point[]) =>
    points
      .map((point) => `${px(point.x).toFixed(1)},${py(Math.max(point.error, 1e-4)).toFixed(1)}`)
      .join(' ');
  if (marksDefault) {
    for (const estimator of estimators) {
      const taken = curve(rows, estimator, x, games).filter(
        ({ budget }) => defaultEstimator(budget) === estimator,
      );
      if (taken.length > 0) parts.push(`<polyline points="${line(taken)}" class="default"/>`);
    }
  }
  for (const estimator of estimators) {
    const points = curve(rows, estimator, x, games);
    const colour = estimator === PEER ? 'class="peer"' : `stroke="${COLOURS[estimator]}"`;
    parts.push(`<polyline points="${line(points)}" fill="none" stroke-width="2" ${colour}/>`);
    const dot = estimator === PEER ? 'class="peer-dot"' : `fill="${COLOURS[estimator]}"`;
    for (const point of line(points).split(' ').filter(Boolean)) {
      const [cx, cy] = point.split(',');
      parts.push(`<circle cx="${cx}" cy="${cy}" r="2.6" ${dot}/>`);
    }
  }
  parts.push('</g>', `<rect x="${left}" y="${top}" width="${WIDTH}" height="${HEIGHT}" class="frame"/>`);
  return parts.join('\n');
}

function legend(estimators: readonly EstimatorName[], top: number): string {
  const entries = [
    ...estimators.map((name) => ({
      label: name === PEER ? `${name}, the default of shapiq` : name,
      mark: name === PEER ? 'class="peer"' : `stroke="${COLOURS[name]}"`,
    })),
    { label: 'taken without an estimator', mark: 'class="default"' },
  ];
  const columns = [80, 400, 660];
  return entries
    .map(({ label, mark }, e) => {
      const [x, y] = [columns[e % 3], top + 24 * Math.floor(e / 3)];
      return `<line x1="${x}" x2="${x + 26}" y1="${y - 4}" y2="${y - 4}" stroke-width="2.5" ${mark}/><text x="${x + 40}" y="${y}">${label}</text>`;
    })
    .join('\n');
}

/** Error against budget, per evaluation and per image encoding. */
export function picture(rows: readonly Row[], estimators: readonly EstimatorName[]): string {
  const [leftColumn, rightColumn, first, second] = [80, 540, 50, 370];
  const coalitions = {
    x: (row: Row) => row.coalitions,
    left: leftColumn,
    label: 'distinct coalitions evaluated',
    ticks: [64, 128, 256, 512, 1024, 2048],
    estimators,
    marksDefault: true,
  };
  const states = {
    x: (row: Row) => row.imageStates,
    left: rightColumn,
    label: 'distinct image states encoded, of 256',
    ticks: [16, 32, 64, 128, 256],
    estimators,
    marksDefault: false,
  };
  const named = { models: 'embedded models', saturating: 'saturating games' } as const;
  const panels = (['models', 'saturating'] as const).flatMap((family, row) => {
    const top = row === 0 ? first : second;
    return [
      panel(rows, { ...coalitions, family, top, title: `${named[family]}, per evaluation` }),
      panel(rows, { ...states, family, top, title: `${named[family]}, per image encoding` }),
    ];
  });
  const axis = (top: number) =>
    `<text transform="rotate(-90 22 ${top + HEIGHT / 2})" x="22" y="${top + HEIGHT / 2}" text-anchor="middle">relative squared error</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 940 740" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Error of the cross-modal pairs against evaluations and against image encodings, by estimator">
<style>
.page { fill: #ffffff } text { fill: #24292f } .title { font-weight: 600 }
.grid { stroke: #d8dee4; stroke-width: 1 } .frame { fill: none; stroke: #8c959f }
.peer { stroke: #24292f; stroke-dasharray: 6 4; fill: none } .peer-dot { fill: #24292f }
.default { stroke: #2f7ed8; stroke-opacity: 0.25; stroke-width: 12; fill: none; stroke-linecap: round; stroke-linejoin: round }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #e6edf3 } .grid { stroke: #30363d } .frame { stroke: #6e7681 }
.peer { stroke: #e6edf3 } .peer-dot { fill: #e6edf3 } .default { stroke-opacity: 0.35 }
}
</style>
<rect width="940" height="740" class="page"/>
${panels.join('\n')}
${axis(first)}
${axis(second)}
${legend(estimators, 676)}
</svg>
`;
}
