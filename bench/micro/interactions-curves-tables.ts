import { chooseEstimator } from '../../lib/interactions/estimators/choose.js';
import type { EstimatorName } from '../../lib/interactions/index.js';
import { bootstrap } from '../../lib/statistics/bootstrap.js';
import type { Row } from './interactions-curves-row.js';
import { FAMILIES, type Family, PAIRS, PLAYERS } from './interactions-games.js';
import { median } from './median.js';

/** What shapiq takes for SII of this size. */
export const PEER: EstimatorName = 'kernel-shap-iq';

/** What `estimate` takes for the cross-modal pairs of these games. */
export function defaultEstimator(budget: number): EstimatorName {
  const sides = Uint8Array.from({ length: PLAYERS }, (_, i) => (i < PAIRS.image.length ? 1 : 2));
  const question = {
    players: PLAYERS,
    index: 'SII',
    order: 2,
    minOrder: 2,
    sides,
    paired: true,
    nodes: 3,
  } as const;
  return chooseEstimator(question, budget).estimator;
}

/** Errors below are roundings. */
const EXACT = 1e-10;

/** Rows by game, of the games that have one. */
type ByGame = ReadonlyMap<number, Row>;

function atBudget(rows: readonly Row[], family: Family, estimator: EstimatorName, budget: number): ByGame {
  return new Map(
    rows
      .filter((row) => row.family === family && row.estimator === estimator && row.budget === budget)
      .map((row) => [row.game, row]),
  );
}

/** The row with the most image states up to a number of them; of equal ones the one with more evaluations. */
function atStates(rows: readonly Row[], family: Family, estimator: EstimatorName, states: number): ByGame {
  const best = new Map<number, Row>();
  for (const row of rows) {
    if (row.family !== family || row.estimator !== estimator || row.imageStates > states) continue;
    const known = best.get(row.game);
    const [more, equal] = known
      ? [row.imageStates > known.imageStates, row.imageStates === known.imageStates]
      : [true, false];
    if (more || (equal && row.budget > known!.budget)) best.set(row.game, row);
  }
  return best;
}

type ErrorByGame = ReadonlyMap<number, { readonly error: number }>;

/** Median of the peer's error over ours with its 95 % bootstrap interval over games. */
export function ratio(peer: ErrorByGame, ours: ErrorByGame): string {
  const games = [...ours.keys()].filter((game) => peer.has(game));
  if (games.length < ours.size || games.length === 0) return 'peer refuses';
  const errorIn = (rows: ErrorByGame, game: number) => Math.max(rows.get(game)!.error, EXACT);
  if (games.every((game) => errorIn(peer, game) === EXACT && errorIn(ours, game) === EXACT))
    return 'both exact';
  const ratios = games.map((game) => errorIn(peer, game) / errorIn(ours, game));
  const { estimate, low, high } = bootstrap(games.length, (indices) =>
    median(Array.from(indices, (i) => ratios[i])),
  );
  const show = (x: number) =>
    x < 0.01 ? '< 0.01' : x >= 100 ? '> 100' : x >= 10 ? x.toFixed(0) : x.toPrecision(2);
  return `${show(estimate)} (${show(low)} to ${show(high)})`;
}

export function errorOf(rows: ErrorByGame, games: number): string {
  if (rows.size < games) return 'refuses';
  const error = median([...rows.values()].map((row) => row.error));
  return error < EXACT ? '0' : error.toPrecision(2);
}

/** The named estimator, not the default, whose median error is least at a budget, and that error. */
function bestOther(
  rows: readonly Row[],
  family: Family,
  taken: EstimatorName,
  budget: number,
  games: number,
): string {
  const others = [...new Set(rows.map((row) => row.estimator))]
    .filter((name) => name !== taken)
    .map((name) => ({ name, found: atBudget(rows, family, name, budget) }))
    .filter(({ found }) => found.size === games)
    .map(({ name, found }) => ({
      name,
      found,
      error: median([...found.values()].map((row) => row.error)),
    }))
    .sort((a, b) => a.error - b.error);
  return others.length === 0 ? '' : `\`${others[0].name}\` ${errorOf(others[0].found, games)}`;
}

/** The tables of docs/interactions-measured.md. */
export function tables(rows: readonly Row[]): string {
  const lines: string[] = [];
  for (const family of FAMILIES) {
    const games = new Set(rows.filter((row) => row.family === family).map((row) => row.game)).size;
    lines.push('', `${family}, ${games} games`, '');
    lines.push(`| coalitions | default | its error | ${PEER} | ratio | best other |`);
    lines.push('|---:|---|---:|---:|---:|---|');
    for (const budget of [64, 128, 192, 256, 384, 512, 768, 1024, 2048]) {
      const estimator = defaultEstimator(budget);
      const [ours, peer] = [atBudget(rows, family, estimator, budget), atBudget(rows, family, PEER, budget)];
      const best = bestOther(rows, family, estimator, budget, games);
      lines.push(
        `| ${budget} | \`${estimator}\` | ${errorOf(ours, games)} | ${errorOf(peer, games)} | ${ratio(peer, ours)} | ${best} |`,
      );
    }
    lines.push('', `| image states | product | sparse | ${PEER} | product's ratio | sparse's ratio |`);
    lines.push('|---:|---:|---:|---:|---:|---:|');
    for (const states of [32, 48, 64, 80, 96, 128, 160, 192]) {
      const [product, sparse, peer] = (['product', 'sparse', PEER] as const).map((name) =>
        atStates(rows, family, name, states),
      );
      lines.push(
        `| ${states} | ${errorOf(product, games)} | ${errorOf(sparse, games)} | ${errorOf(peer, games)} | ${ratio(peer, product)} | ${ratio(peer, sparse)} |`,
      );
    }
  }
  return lines.join('\n');
}
