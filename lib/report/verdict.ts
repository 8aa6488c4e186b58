import { overallOutcome } from './checks.js';
import { isUnordered } from './map-order.js';
import type { CheckOutcome, ExplainerAnalysis, ScopeAnalysis } from './scope.js';

/** The answer to "which explainer is faithful here, and can the number be believed?" */
export interface Verdict {
  /**
   * The explainer with the largest mean raw F_syn, controls and unordered ones aside; null without any.
   */
  readonly best: string | null;
  /** How many explainers the best one is compared with. */
  readonly rivals: number;
  /** Samples that the best one was measured on. */
  readonly samples: number;
  /** Explainers that cannot be told apart from the best one. */
  readonly tied: readonly string[];
  /** Whether the best one beats Random; null without Random. */
  readonly bestBeatsRandom: boolean | null;
  readonly aboveRandom: readonly string[];
  readonly likeRandom: readonly string[];
  readonly belowRandom: readonly string[];
  /**
   * Explainers most of whose maps are constant in the image or in the words: their F_syn is not their own.
   */
  readonly unordered: readonly string[];
  /** Explainers told apart above Oracle on the samples that Oracle knows whole. */
  readonly aboveOracle: readonly string[];
  readonly trust: CheckOutcome;
}

export function verdictOf(scope: ScopeAnalysis): Verdict {
  const measured = scope.explainers
    .filter((row) => !row.control && row.samples > 0)
    .sort((a, b) => b.means.raw.estimate - a.means.raw.estimate);
  const contenders = measured.filter(({ maps }) => !isUnordered(maps)).map(({ name }) => name);
  const hasRandom = scope.explainers.some((row) => row.name === 'random' && row.samples > 0);
  const against = (name: string, other: string) => {
    const pair = scope.pairs.find(
      ({ one, other: second }) => (one === name && second === other) || (one === other && second === name),
    );
    return pair === undefined ? 0 : pair.one === name ? pair.verdict : -pair.verdict;
  };
  const best = contenders[0] ?? null;
  const versusRandom = (wanted: number) =>
    hasRandom ? contenders.filter((name) => against(name, 'random') === wanted) : [];
  return {
    best,
    rivals: Math.max(0, contenders.length - 1),
    samples: measured.find(({ name }) => name === best)?.samples ?? 0,
    tied: best === null ? [] : contenders.slice(1).filter((name) => against(best, name) === 0),
    bestBeatsRandom: best === null || !hasRandom ? null : against(best, 'random') > 0,
    aboveRandom: versusRandom(1),
    likeRandom: versusRandom(0),
    belowRandom: versusRandom(-1),
    unordered: measured.filter(({ maps }) => isUnordered(maps)).map(({ name }) => name),
    aboveOracle: scope.againstOracle.filter(({ verdict }) => verdict > 0).map(({ one }) => one),
    trust: overallOutcome(scope.checks),
  };
}

/**
 * The explainer that may be marked as the best of a list: of two or more that order the players, on two
 * samples or more; undefined where there is nothing to compare.
 */
export function leaderOf(explainers: readonly ExplainerAnalysis[]): string | undefined {
  const rows = explainers.filter((row) => !row.control && row.samples > 0 && !isUnordered(row.maps));
  if (rows.length < 2) return undefined;
  const leader = rows.reduce((best, row) => (row.means.raw.estimate > best.means.raw.estimate ? row : best));
  return leader.samples > 1 ? leader.name : undefined;
}
