// Error against budget of the estimators on four families of games: measures docs/interactions-error.csv,
// draws docs/interactions-error.svg and prints the tables of docs/interactions-measured.md.
//
//   node dist/bench/micro/interactions-curves.js [family,...] [estimator,...] [budget,...]
//
// Only what is named is measured, the other rows stay as they are in the file; a family called none measures
// nothing.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { EstimatorName, ValueTable } from '../../lib/interactions/index.js';
import { packageInfo } from '../../lib/package.js';
import { picture } from './interactions-curves-picture.js';
import type { Row } from './interactions-curves-row.js';
import { tables } from './interactions-curves-tables.js';
import { FAMILIES, type Family, gamesOf, relativeError } from './interactions-games.js';

/** Games of the drawn families. */
const DRAWN = 10;
const BUDGETS = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];
/**
 * Texts cost little where an image state is encoded once: the product design goes on where the others end.
 */
const MORE_BUDGETS = [3072, 4096, 6144, 8192];
const ESTIMATORS: readonly EstimatorName[] = [
  'sparse',
  'regression',
  'product',
  'kernel-shap-iq',
  'permutation',
  'svarm-iq',
  'shap-iq',
];

/** Null when the budget is too small for the estimator. */
async function measure(
  family: Family,
  number: number,
  game: ValueTable,
  estimator: EstimatorName,
  budget: number,
): Promise<Row | null> {
  const found = await relativeError(game, estimator, budget, number);
  if (found === null) return null;
  const { distinctCoalitions, imageStates } = found.provenance.spent;
  return {
    family,
    game: number,
    estimator,
    budget,
    coalitions: distinctCoalitions,
    imageStates: imageStates!,
    error: found.error,
  };
}

const csv = `${packageInfo().root}/docs/interactions-error.csv`;
const HEADER = 'family,game,estimator,budget,distinct_coalitions,image_states,relative_squared_error';

function readRows(): Row[] {
  if (!existsSync(csv)) return [];
  const [header, ...lines] = readFileSync(csv, 'utf8').trim().split('\n');
  if (header !== HEADER) return [];
  return lines
    .map((line) => line.split(','))
    .map(([family, game, estimator, budget, coalitions, imageStates, error]) => ({
      family: family as Family,
      game: Number(game),
      estimator: estimator as EstimatorName,
      budget: Number(budget),
      coalitions: Number(coalitions),
      imageStates: Number(imageStates),
      error: Number(error),
    }));
}

const [families, estimators, budgets] = process.argv.slice(2).map((names) => names.split(','));
const chosen = <Name>(all: readonly Name[], names: readonly string[] | undefined) =>
  all.filter((name) => names === undefined || names.includes(String(name)));
const rows = new Map(
  readRows().map((row) => [[row.family, row.game, row.estimator, row.budget].join(), row]),
);
for (const family of chosen(FAMILIES, families)) {
  const games = gamesOf(family, DRAWN);
  for (const estimator of chosen(ESTIMATORS, estimators)) {
    for (const budget of chosen(estimator === 'product' ? [...BUDGETS, ...MORE_BUDGETS] : BUDGETS, budgets)) {
      for (const [number, game] of games.entries()) {
        const key = [family, number, estimator, budget].join();
        const row = await measure(family, number, game, estimator, budget);
        if (row) rows.set(key, row);
        else rows.delete(key);
      }
      console.error(family, estimator, budget);
    }
  }
}
const sorted = [...rows.values()].sort(
  (a, b) =>
    FAMILIES.indexOf(a.family) - FAMILIES.indexOf(b.family) ||
    ESTIMATORS.indexOf(a.estimator) - ESTIMATORS.indexOf(b.estimator) ||
    a.budget - b.budget ||
    a.game - b.game,
);
const lines = sorted.map((row) =>
  [
    row.family,
    row.game,
    row.estimator,
    row.budget,
    row.coalitions,
    row.imageStates,
    row.error.toPrecision(3),
  ].join(','),
);
writeFileSync(csv, `${HEADER}\n${lines.join('\n')}\n`);
writeFileSync(`${packageInfo().root}/docs/interactions-error.svg`, picture(sorted, ESTIMATORS));
console.log(tables(sorted));
