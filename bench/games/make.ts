// Writes the tables of all values of the models' games beside this file.
//
//   node dist/bench/games/make.js
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { playModels } from './play.js';
import { GAME_FOLDER, type ModelGame } from './read.js';

const games: ModelGame[] = [];
for await (const { about, values } of playModels()) {
  writeFileSync(join(GAME_FOLDER, `${about.name}.f32`), new Uint8Array(values.buffer));
  games.push(about);
  console.log(about.name, about.answer, values[0], values[values.length - 1]);
}
writeFileSync(join(GAME_FOLDER, 'games.json'), `${JSON.stringify(games, null, 2)}\n`);
