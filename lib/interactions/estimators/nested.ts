import { checkInteger, checkOneOf } from '../../checks.js';
import { FsynError, invalidArgument } from '../../errors.js';
import { resolveOptions } from '../../options.js';
import { Random } from '../../statistics/random.js';
import { CoalitionBatch, checkEvaluation, type ValueFunction } from '../coalitions.js';
import { type CrossPairs, type PlayerList, Players } from '../players.js';
import type { Provenance } from '../provenance.js';
import { Evaluator } from './evaluator.js';
import { unitOf } from './unit.js';

export interface EstimatePairOptions {
  readonly index: 'SII' | 'BII';
  /** The modality of every player; none may be left out. */
  readonly pairs: CrossPairs | null;
  /** Evaluations; each image context takes 4 * textContexts. */
  readonly budget: number;
  /**
   * Fresh text contexts under each image context; 2 or 3 where an image costs much more than a text (the
   * default, 2).
   */
  readonly textContexts: number;
  readonly seed: number;
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((done: number, total: number) => void) | undefined;
}

const DEFAULTS: EstimatePairOptions = {
  index: 'SII',
  pairs: null,
  budget: 256,
  textContexts: 2,
  seed: 0,
  batchSize: 256,
  signal: undefined,
  onProgress: undefined,
};

/** Interaction of one image set with one text set. */
export interface PairEstimate {
  readonly value: number;
  readonly standardError: number;
  readonly provenance: Provenance;
}

/**
 * Interaction index of two macro players, a set of image players and a set of text players that switch
 * together, in the game of the two and all other players.
 *
 * A nested design: every image context (the other image players, each present with probability q) meets fresh
 * text contexts, so the variance of the texts is divided by all of them and only the image's by the number of
 * image contexts. For SII q is spread evenly over 0..1 (SII is the mean of the weighted Banzhaf index over
 * q), for BII it is 1/2. Unbiased.
 *
 * @throws FsynError BUDGET below two image contexts: one has no standard error
 */
export async function estimatePair(
  players: number | readonly string[],
  value: ValueFunction,
  imageSet: PlayerList,
  textSet: PlayerList,
  options: Partial<EstimatePairOptions> = {},
): Promise<PairEstimate> {
  const resolved = resolveOptions('estimatePair', DEFAULTS, options);
  const { index, budget, textContexts, seed } = resolved;
  const named = new Players(players);
  checkOneOf('index', index, ['SII', 'BII']);
  checkInteger('textContexts', textContexts, 1);
  for (const [name, number] of [
    ['budget', budget],
    ['seed', seed],
  ] as const) {
    checkInteger(name, number, 0);
  }
  checkEvaluation(value, resolved);
  const sides = named.sides(resolved.pairs);
  if (!sides?.every((side) => side !== 0))
    throw invalidArgument('pairs', 'the modality of every player', resolved.pairs);
  const macro = [macroPlayer(named, imageSet, sides, 1), macroPlayer(named, textSet, sides, 2)];
  const contexts = Math.floor(budget / (4 * textContexts));
  if (contexts < 2) {
    throw new FsynError(
      'BUDGET',
      `estimatePair needs at least ${8 * textContexts} evaluations for two image contexts of ${textContexts} text contexts; the budget is ${budget}.`,
    );
  }
  const random = new Random(seed);
  const others = sides.map((side, player) => (macro[side - 1].includes(player) ? 0 : side));
  const stride = Math.ceil(named.count / 32);
  const words = new Uint32Array(contexts * textContexts * 4 * stride);
  let at = 0;
  for (let a = 0; a < contexts; a++) {
    // One draw of q in each of `contexts` equal parts of 0..1.
    const q = index === 'BII' ? 0.5 : (a + random.uniform()) / contexts;
    const image = drawContext(others, 1, q, stride, random);
    for (let b = 0; b < textContexts; b++) {
      const text = drawContext(others, 2, q, stride, random);
      for (let corner = 0; corner < 4; corner++) {
        for (let w = 0; w < stride; w++) words[at + w] = image[w] | text[w];
        if (corner & 1) mark(words, at, macro[0]);
        if (corner & 2) mark(words, at, macro[1]);
        at += stride;
      }
    }
  }
  const evaluator = new Evaluator(value, sides, words.length / stride, resolved);
  const values = await evaluator.values(new CoalitionBatch(named.count, words));
  const unit = unitOf(values);
  const { value: mean, standardError } = summarise(
    values.map((one) => one / unit),
    contexts,
    textContexts,
  );
  return {
    value: mean * unit,
    standardError: standardError * unit,
    provenance: { estimator: 'nested', seed, budget, spent: evaluator.spent },
  };
}

function macroPlayer(players: Players, given: PlayerList, sides: Uint8Array, side: number): number[] {
  const name = side === 1 ? 'imageSet' : 'textSet';
  const members = players.sorted(given, name);
  if (members.length === 0 || members.some((player) => sides[player] !== side)) {
    throw invalidArgument(name, `at least one ${side === 1 ? 'image' : 'text'} player and no other`, given);
  }
  return members;
}

function drawContext(
  others: Uint8Array,
  side: number,
  q: number,
  stride: number,
  random: Random,
): Uint32Array {
  const words = new Uint32Array(stride);
  for (const [player, own] of others.entries()) {
    if (own === side && random.uniform() < q) words[player >>> 5] |= 1 << (player & 31);
  }
  return words;
}

function mark(words: Uint32Array, at: number, players: readonly number[]): void {
  for (const player of players) words[at + (player >>> 5)] |= 1 << (player & 31);
}

function summarise(
  values: Float64Array,
  contexts: number,
  texts: number,
): { value: number; standardError: number } {
  const means = new Float64Array(contexts);
  for (let d = 0; d < contexts * texts; d++) {
    const derivative = values[4 * d + 3] - values[4 * d + 1] - values[4 * d + 2] + values[4 * d];
    means[Math.floor(d / texts)] += derivative / texts;
  }
  const value = means.reduce((sum, x) => sum + x, 0) / contexts;
  const squares = means.reduce((sum, x) => sum + (x - value) ** 2, 0);
  return { value, standardError: Math.sqrt(squares / (contexts - 1) / contexts) };
}
