// Draws the pictures of docs/interactions.md from a committed game of an embedded model.
//
//   node dist/bench/micro/interactions-pictures.js
import { writeFileSync } from 'node:fs';
import { estimate, interactionsSvg, interactionsSync } from '../../lib/interactions/index.js';
import { packageInfo } from '../../lib/package.js';
import { readGames } from '../games/read.js';
import { PAIRS } from './interactions-games.js';

const { about, table } = readGames().find((game) => game.about.name === 'internvl-tiny-presence')!;
const words = about.players.slice(PAIRS.image.length).map((name) => name.replace(/^\d+: /, ''));
const folder = `${packageInfo().root}/docs`;
const network = interactionsSync(table, { index: 'SII', order: 2, minOrder: 1 });
writeFileSync(
  `${folder}/interactions-network.svg`,
  interactionsSvg(network, {
    title: `"${words.join(' ').replace(' ?', '?')}": SII of P("${about.answer}")`,
    count: 30,
  }),
);
const estimated = await estimate([...about.players], table.toValueFunction(), { pairs: PAIRS, budget: 400 });
writeFileSync(`${folder}/interactions-heatmap.svg`, interactionsSvg(estimated));
console.log(String(estimated));
