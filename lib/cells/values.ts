import { invalidArgument } from '../errors.js';
import type { CellScores } from './scores.js';

/**
 * What a cell is worth, from the log-probabilities of its answer tokens.
 * `probability` and `log-probability` look at the decision token only, `answer` at the probability of all
 * answer tokens. Where a model gives similarities instead, `probability` is the similarity and the others are
 * refused.
 */
export type Scoring = 'probability' | 'log-probability' | 'answer';

/** One value per cell. @throws FsynError INVALID_ARGUMENT for a scoring that the scores do not have */
export function cellValues(scores: CellScores, scoring: Scoring): Float64Array {
  if (scores.similarities !== undefined) {
    if (scoring === 'probability') return scores.similarities.slice();
    throw invalidArgument('scoring', "'probability' for a model that gives similarities", scoring);
  }
  const { logProbabilities, tokens, decision } = scores;
  const cells = logProbabilities.length / tokens;
  switch (scoring) {
    case 'probability':
      return Float64Array.from({ length: cells }, (_, cell) =>
        Math.exp(logProbabilities[cell * tokens + decision]),
      );
    case 'log-probability':
      requireKnown(scores);
      return Float64Array.from({ length: cells }, (_, cell) => logProbabilities[cell * tokens + decision]);
    case 'answer':
      return Float64Array.from({ length: cells }, (_, cell) => {
        let sum = 0;
        for (let token = 0; token < tokens; token++) sum += logProbabilities[cell * tokens + token];
        return Math.exp(sum);
      });
    default:
      throw invalidArgument('scoring', "'probability', 'log-probability' or 'answer'", scoring);
  }
}

/** A probability that may be 0 has no lowest logarithm. */
function requireKnown({ bounds }: CellScores): void {
  const open = bounds?.upper.filter((high, i) => high !== bounds.lower[i]).length ?? 0;
  if (open === 0) return;
  throw invalidArgument(
    'scoring',
    `'probability' for a server that gives the likeliest tokens alone (${open} of ${bounds!.upper.length} cells are known within bounds)`,
    'log-probability',
  );
}

/** The smallest and largest value of every cell; null where all cells are known. */
export function cellBounds(
  scores: CellScores,
  scoring: Scoring,
): { readonly low: Float64Array; readonly high: Float64Array } | null {
  const { bounds, tokens, decision } = scores;
  if (bounds === undefined) return null;
  const end = (logProbabilities: Float64Array) => cellValues({ logProbabilities, tokens, decision }, scoring);
  return { low: end(bounds.lower), high: end(bounds.upper) };
}

/**
 * Values as the published code scores them: the probability of the one answer token whose log-probability
 * drops most from the full input to the metric's own baseline. Different metrics may so score different
 * tokens.
 *
 * @param full cell of the full input
 * @param baseline cell of the metric's baseline
 */
export function referenceValues(scores: CellScores, full: number, baseline: number): Float64Array {
  if (scores.similarities !== undefined) return cellValues(scores, 'probability');
  const { logProbabilities, tokens } = scores;
  let column = 0;
  let largest = Number.NEGATIVE_INFINITY;
  for (let token = 0; token < tokens; token++) {
    const drop = logProbabilities[full * tokens + token] - logProbabilities[baseline * tokens + token];
    if (drop > largest) {
      largest = drop;
      column = token;
    }
  }
  return cellValues({ logProbabilities, tokens, decision: column }, 'probability');
}
