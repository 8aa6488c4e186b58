import { overallOutcome } from './checks.js';
import type { CheckOutcome, ScopeAnalysis } from './scope.js';

/** The answer to "which explainer is faithful here, and can the number be believed?" */
export interface Verdict {
  /** The explainer with the largest mean raw F_syn, controls aside; null without any. */
  readonly best: string | null;
  /** Explainers that cannot be told apart from the best one. */
  readonly tied: readonly string[];
  /** Whether the best one beats Random; null without Random. */
  readonly bestBeatsRandom: boolean | null;
  readonly aboveRandom: readonly string[];
  readonly likeRandom: readonly string[];
  readonly belowRandom: readonly string[];
  readonly trust: CheckOutcome;
}

export function verdictOf(scope: ScopeAnalysis): Verdict {
  const contenders = scope.explainers
    .filter((row) => !row.control && row.samples > 0)
    .sort((a, b) => b.means.raw.estimate - a.means.raw.estimate)
    .map((row) => row.name);
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
    tied: best === null ? [] : contenders.slice(1).filter((name) => against(best, name) === 0),
    bestBeatsRandom: best === null || !hasRandom ? null : against(best, 'random') > 0,
    aboveRandom: versusRandom(1),
    likeRandom: versusRandom(0),
    belowRandom: versusRandom(-1),
    trust: overallOutcome(scope.checks),
  };
}
