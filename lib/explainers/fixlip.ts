import type { WordRegions } from '../cells/attribution.js';
import type { Scoring } from '../cells/values.js';
import { checkInteger, checkNumber, checkOneOf } from '../checks.js';
import { estimate } from '../interactions/estimators/estimate.js';
import { resolveOptions } from '../options.js';
import type { ImagePlayers } from '../vlm/types.js';
import { coalitionValues } from './coalition-values.js';
import type { Explainer } from './types.js';

export interface FixlipOptions {
  /** Cells that may be evaluated: image states times text states. Default: 2048, as in the paper's code. */
  readonly budget?: number;
  /** Probability that a player is present, in (0, 1). Default: 0.5, the Banzhaf index. */
  readonly p?: number;
  /** Neighbouring image players are joined to blocks until there are at most so many. Default: 64. */
  readonly mostRegions?: number;
  /**
   * How pairs become scores: `signed` (default) adds up a player's pairs, `absolute` their magnitudes, as the
   * paper's code does.
   */
  readonly reduction?: 'signed' | 'absolute';
  /** What a cell is worth. Default: the probability of the decision token, as the metrics have it. */
  readonly scoring?: Scoring;
}

const DEFAULTS = {
  budget: 2048,
  p: 0.5,
  mostRegions: 64,
  reduction: 'signed' as 'signed' | 'absolute',
  scoring: 'probability' as Scoring,
};

/**
 * FIxLIP for models that answer: the weighted Banzhaf interactions of every region with every word, the
 * cross-modal part of the second-order polynomial that is closest to the game where players are present
 * independently with probability p (Baniecki et al. 2025, there for the similarity of CLIP and SigLIP).
 * Estimated by crossed image and text states, so that an image state is encoded once.
 *
 * The map of regions and words is kept beside the scores. A region's cells share its score, which is the sum
 * over words; a word's score is the sum over regions. Main effects do not enter: what one modality gives
 * alone is no joint effect. The game is fsyn's: absent players show the baseline, not zeros.
 *
 * `diagnostics`: `cells` evaluated, `regions`, `standardError`, the mean over pairs (infinite where the
 * budget leaves a state alone with a coefficient).
 *
 * @throws FsynError `BUDGET` when it does not determine all pairs
 */
export function fixlip(given?: FixlipOptions): Explainer {
  const { budget, p, mostRegions, reduction, scoring } = resolveOptions('fixlip', DEFAULTS, given);
  checkInteger('budget', budget, 2);
  checkInteger('mostRegions', mostRegions, 1);
  checkNumber('p', p, { above: 0, below: 1 });
  checkOneOf('reduction', reduction, ['signed', 'absolute']);
  return {
    name: 'fixlip',
    title: 'FIxLIP',
    reference: 'Baniecki et al. 2025, arXiv 2508.05430',
    needsTruth: false,
    byNameOnly: true,
    async attribute(context) {
      const { sample, seed, signal } = context;
      const words = sample.textPlayers.count;
      const blocks = blocksOf(sample.imagePlayers, mostRegions);
      const { regions, count } = blocks;
      const players = count + words;
      const value = coalitionValues(context, blocks, scoring);
      const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
      const found = await estimate(players, value, {
        index: 'WBII',
        order: 2,
        estimator: 'product',
        pairs: { image: range(0, count), text: range(count, players) },
        p,
        budget,
        seed,
        batchSize: budget,
        signal,
      });
      const at = (region: number, word: number) => found.set.position([region, count + word]);
      const pairs = (of: Float64Array) =>
        Float64Array.from({ length: count * words }, (_, i) => of[at(Math.floor(i / words), i % words)]);
      const values = pairs(found.values);
      const standardErrors = pairs(found.standardErrors ?? new Float64Array(found.values.length));
      const map = { regions, values, standardErrors };
      return {
        ...scoresOf(map, words, reduction),
        wordRegions: map,
        diagnostics: {
          cells: found.provenance?.spent.distinctCoalitions ?? Number.NaN,
          regions: count,
          standardError: standardErrors.reduce((sum, error) => sum + error, 0) / standardErrors.length,
        },
      };
    },
  };
}

/** A player's share of the map: sums over the other side. */
function scoresOf(
  { regions, values }: WordRegions,
  words: number,
  reduction: 'signed' | 'absolute',
): { readonly image: Float64Array; readonly text: Float64Array } {
  const taken = reduction === 'absolute' ? values.map(Math.abs) : values;
  const byRegion = new Float64Array(taken.length / words);
  const text = new Float64Array(words);
  for (const [i, value] of taken.entries()) {
    byRegion[Math.floor(i / words)] += value;
    text[i % words] += value;
  }
  return { image: Float64Array.from(regions, (region) => byRegion[region]), text };
}

/**
 * Square blocks of each tile's grid, as small as the limit allows; one block a tile where it allows no less.
 */
export function blocksOf(
  { count, rows, columns, tiles }: Pick<ImagePlayers, 'count' | 'rows' | 'columns' | 'tiles'>,
  most: number,
): { readonly regions: Int32Array; readonly count: number } {
  let side = 1;
  const blocks = () => Math.ceil(rows / side) * Math.ceil(columns / side);
  while (tiles * blocks() > most && blocks() > 1) side++;
  const across = Math.ceil(columns / side);
  const regions = Int32Array.from({ length: count }, (_, player) => {
    const [tile, cell] = [Math.floor(player / (rows * columns)), player % (rows * columns)];
    const [row, column] = [Math.floor(cell / columns), cell % columns];
    return tile * blocks() + Math.floor(row / side) * across + Math.floor(column / side);
  });
  return { regions, count: tiles * blocks() };
}
