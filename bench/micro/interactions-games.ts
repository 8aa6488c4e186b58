// The games of the error curves: 8 image and 6 text players each, the interactions of interest their 48
// cross-modal pairs.
import {
  type CrossPairs,
  type EstimatorName,
  estimate,
  FsynError,
  type Interactions,
  interactionsSync,
  transformSync,
  ValueTable,
} from '../../lib/interactions/index.js';
import { Random } from '../../lib/statistics/random.js';
import { GAME_IMAGE_PLAYERS as IMAGE, readGames, GAME_TEXT_PLAYERS as TEXT } from '../games/read.js';

export const PLAYERS = IMAGE + TEXT;

export const PAIRS: CrossPairs = {
  image: Array.from({ length: IMAGE }, (_, i) => i),
  text: Array.from({ length: TEXT }, (_, i) => IMAGE + i),
};

/**
 * 'models': the committed games of the embedded models. The others are drawn: 'saturating' and 'sparse' have
 * few parts, 'dense' ones have effects of all orders and no structure in them.
 */
export const FAMILIES = ['models', 'saturating', 'sparse', 'dense'] as const;
export type Family = (typeof FAMILIES)[number];

/** Games of a family; `count` of the drawn ones, from a seed on. */
export function gamesOf(family: Family, count: number, firstSeed = 100): ValueTable[] {
  if (family === 'models') return readGames().map(({ table }) => table);
  return Array.from({ length: count }, (_, seed) =>
    family === 'dense' ? drawDense(firstSeed + seed) : drawGame(family, firstSeed + seed),
  );
}

/**
 * Squared error of the cross-modal pairs of SII over the sum of their squares; null when the budget is too
 * small.
 */
export async function relativeError(
  game: ValueTable,
  estimator: EstimatorName | 'auto',
  budget: number,
  seed: number,
): Promise<{ readonly error: number; readonly provenance: NonNullable<Interactions['provenance']> } | null> {
  const exact = interactionsSync(game, { pairs: PAIRS });
  try {
    const found = await estimate(PLAYERS, game.toValueFunction(), { estimator, pairs: PAIRS, budget, seed });
    let [difference, size] = [0, 0];
    for (const [i, value] of exact.values.entries()) {
      difference += (found.values[i] - value) ** 2;
      size += value ** 2;
    }
    return { error: difference / size, provenance: found.provenance! };
  } catch (error) {
    if (error instanceof FsynError && (error.code === 'BUDGET' || error.code === 'RANK_DEFICIENT'))
      return null;
    throw error;
  }
}

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}

/**
 * Main effects, 12 cross pairs, half of them with a third player, 4 image pairs; 'saturating' squashes the
 * sum to 0..1 as a probability does, which spreads small interactions over all orders.
 */
function drawGame(family: 'saturating' | 'sparse', seed: number): ValueTable {
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

/** Independent normal Fourier coefficients; every order has .4 of the variance of the one before. */
function drawDense(seed: number): ValueTable {
  const random = new Random(seed);
  const coefficients = Float64Array.from({ length: 2 ** PLAYERS }, () => normal(random));
  for (let s = 0; s < coefficients.length; s++) {
    let [size, choices] = [0, 1];
    for (let rest = s; rest !== 0; rest &= rest - 1) {
      choices = (choices * (PLAYERS - size)) / (size + 1);
      size++;
    }
    coefficients[s] *= Math.sqrt(0.4 ** size / choices);
  }
  return ValueTable.from(transformSync(coefficients, 'walshHadamard'));
}
