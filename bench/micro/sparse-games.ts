// Error of all pairs of SII against the budget on sparse games; prints the table of
// docs/interactions-measured.md.
//
//   node dist/bench/micro/sparse-games.js [players] [games] [budget,...] [estimator,...]
import {
  type EstimatorName,
  estimate,
  FsynError,
  InteractionSet,
  interactionsSync,
  UnanimitySum,
  type ValueFunction,
  ValueTable,
} from '../../lib/interactions/index.js';

interface Game {
  readonly value: ValueFunction;
  readonly interaction: (players: readonly number[]) => number;
}

/** As many unanimity games as players, of up to 5 players each. */
function orderFive(players: number, seed: number): Game {
  const game = UnanimitySum.random(players, players, 5, seed);
  return { value: game.value, interaction: (members) => game.shapleyInteraction(members) };
}

/**
 * Twice as many of up to 3 players, squashed to 0..1: few strong interactions and many weak ones of all
 * orders.
 */
function saturating(players: number, seed: number): Game {
  const inner = UnanimitySum.random(players, 2 * players, 3, seed);
  const values = inner.toTable().values;
  const middle = Float64Array.from(values).sort()[values.length / 2];
  const squash = (x: number) => 1 / (1 + Math.exp(-1.5 * (x - middle)));
  const exact = interactionsSync(ValueTable.from(Float64Array.from(values, squash)), { order: 2 });
  return {
    value: async (batch, signal) => Float64Array.from(await inner.value(batch, signal), squash),
    interaction: (members) => exact.get(...members),
  };
}

/** Squared error of all pairs relative to their squares; null when the budget is refused. */
async function relativeError(
  game: Game,
  players: number,
  estimator: EstimatorName,
  budget: number,
  seed: number,
): Promise<number | null> {
  const pairs = new InteractionSet(players, 2, 2);
  try {
    const found = await estimate(players, game.value, { estimator, minOrder: 2, budget, seed });
    let [difference, size] = [0, 0];
    for (let i = 0; i < pairs.length; i++) {
      const members = Array.from(pairs.at(i));
      const truth = game.interaction(members);
      difference += (found.get(...members) - truth) ** 2;
      size += truth ** 2;
    }
    return difference / size;
  } catch (error) {
    if (error instanceof FsynError && (error.code === 'BUDGET' || error.code === 'RANK_DEFICIENT'))
      return null;
    throw error;
  }
}

const [players = '18', count = '3', budgets = '200,320,500,1000', named] = process.argv.slice(2);
const estimators = (named ?? 'sparse,regression,kernel-shap-iq,permutation').split(',') as EstimatorName[];
console.log(
  `| game | coalitions | ${estimators.join(' | ')} |\n|---|---:|${estimators.map(() => '---:|').join('')}`,
);
const n = Number(players);
for (const [name, draw] of [
  ['order 5', orderFive],
  ['saturating', saturating],
] as const) {
  if (name === 'saturating' && n > 20) continue;
  const games = Array.from({ length: Number(count) }, (_, g) => draw(n, 100 + g));
  for (const budget of budgets.split(',').map(Number)) {
    const cells: string[] = [];
    for (const estimator of estimators) {
      const errors: number[] = [];
      for (const [seed, game] of games.entries()) {
        const error = await relativeError(game, n, estimator, budget, seed);
        if (error !== null) errors.push(error);
      }
      errors.sort((a, b) => a - b);
      cells.push(
        errors.length < games.length ? 'refused' : errors[Math.floor(errors.length / 2)].toPrecision(3),
      );
    }
    console.log(`| ${name} | ${budget} | ${cells.join(' | ')} |`);
  }
}
