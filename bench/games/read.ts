import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { FsynError, ValueTable } from '../../lib/interactions/index.js';
import { packageInfo } from '../../lib/package.js';

/** Where the committed games lie. */
export const GAME_FOLDER = join(packageInfo().root, 'bench', 'games');

/** Players 0..7 are blocks of the image, row by row; 8..13 runs of words of the question. */
export const GAME_IMAGE_PLAYERS = 8;
export const GAME_TEXT_PLAYERS = 6;

/**
 * A vision-language model on one sample, as a game: v(S) is the probability of its decision token when S is
 * present.
 */
export interface ModelGame {
  readonly name: string;
  /** Of the model that was played. */
  readonly fingerprint: string;
  readonly sample: string;
  readonly answer: string;
  readonly players: readonly string[];
}

/** The committed games with the tables of all their values. */
export function readGames(): { readonly about: ModelGame; readonly table: ValueTable }[] {
  if (endianness() !== 'LE')
    throw new FsynError('DATASET', 'The committed games are little-endian, this machine is not.');
  const all = JSON.parse(readFileSync(join(GAME_FOLDER, 'games.json'), 'utf8')) as ModelGame[];
  return all.map((about) => {
    const bytes = readFileSync(join(GAME_FOLDER, `${about.name}.f32`));
    const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    return { about, table: ValueTable.from(Float64Array.from(values), { players: about.players }) };
  });
}
