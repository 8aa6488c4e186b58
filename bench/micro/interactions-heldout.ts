// The default estimator against the peer's on games that no rule of ours was tuned on: the fifth sample of
// every kind of question that each embedded model answers right, and games drawn with seeds of their own.
//
//   node dist/bench/micro/interactions-heldout.js [family,...]
import { ValueTable } from '../../lib/interactions/index.js';
import { playModels } from '../games/play.js';
import { errorOf, PEER, ratio } from './interactions-curves-tables.js';
import { FAMILIES, gamesOf, relativeError } from './interactions-games.js';

const BUDGETS = [192, 256, 512, 1024, 2048];
const SEED = 7000;

async function playedGames(): Promise<ValueTable[]> {
  const games: ValueTable[] = [];
  for await (const { about, values } of playModels(5)) {
    games.push(ValueTable.from(Float64Array.from(values)));
    console.error(about.name, about.sample);
  }
  return games;
}

const chosen = process.argv[2]?.split(',') ?? FAMILIES;
console.log(
  '| games | coalitions | default | its error | peer | peer / ours |\n|---|---:|---|---:|---:|---|',
);
for (const family of FAMILIES.filter((name) => chosen.includes(name))) {
  const games = family === 'models' ? await playedGames() : gamesOf(family, 20, SEED);
  for (const budget of BUDGETS) {
    const ours = new Map<number, { error: number }>();
    const peer = new Map<number, { error: number }>();
    const taken = new Set<string>();
    for (const [number, game] of games.entries()) {
      const own = await relativeError(game, 'auto', budget, number);
      const other = await relativeError(game, PEER, budget, number);
      if (own) ours.set(number, own);
      if (own) taken.add(own.provenance.estimator);
      if (other) peer.set(number, other);
    }
    const errors = [errorOf(ours, games.length), errorOf(peer, games.length)];
    console.log(
      `| ${family} (${games.length}) | ${budget} | ${[...taken].map((name) => `\`${name}\``).join(', ')} | ${errors.join(' | ')} | ${ratio(peer, ours)} |`,
    );
  }
}
