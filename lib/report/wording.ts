import type { ExplainerStyle } from './explainer-style.js';
import type { Report } from './report.js';
import { percentText } from './report-tables.js';
import type { CheckOutcome, ScopeAnalysis } from './scope.js';
import { interval } from './table.js';
import type { Verdict } from './verdict.js';

/** Every explainer of the report, in order of first appearance. */
export function explainerNames(report: Report): string[] {
  return [...new Set(report.models.flatMap(({ overall }) => overall.explainers.map((row) => row.name)))];
}

/** The answer in one sentence. */
export function answerText(verdict: Verdict, scope: ScopeAnalysis, style: ExplainerStyle): string {
  const { best, tied, bestBeatsRandom } = verdict;
  if (best === null) return 'No explainer besides the controls was measured.';
  const mean = interval(scope.explainers.find((row) => row.name === best)!.means.raw);
  if (bestBeatsRandom === false)
    return `No explainer is shown to beat Random; the largest F_syn is ${style.title(best)}'s, ${mean}.`;
  const name = style.title(best);
  if (tied.length === 0) return `${name} is the most faithful, F_syn ${mean}.`;
  return `${name} has the largest F_syn, ${mean}, not told apart from ${listed(tied, style)}.`;
}

/** How the explainers stand against Random. */
export function standingText(verdict: Verdict, style: ExplainerStyle): string {
  if (verdict.best === null) return '';
  if (verdict.bestBeatsRandom === null)
    return 'Random was not run, so nothing says whether these values are better than chance.';
  const parts = [
    ['Above Random', verdict.aboveRandom],
    ['not told apart from Random', verdict.likeRandom],
    ['below Random', verdict.belowRandom],
  ] as const;
  const text = parts
    .filter(([, names]) => names.length > 0)
    .map(([label, names]) => `${label}: ${listed(names, style)}`)
    .join('; ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

export function trustText(outcome: CheckOutcome): string {
  return {
    holds: 'F_syn passes all its checks here.',
    open: 'F_syn is not contradicted here, but not all of its checks are settled.',
    fails: 'F_syn fails a check here: do not trust the ranking without reading why.',
  }[outcome];
}

function listed(names: readonly string[], style: ExplainerStyle): string {
  const titles = names.map((name) => style.title(name));
  return titles.length < 2 ? titles.join('') : `${titles.slice(0, -1).join(', ')} and ${titles.at(-1)}`;
}

/** Below this share of expected answers the checks that rest on ground truth say little about the metric. */
const lowAccuracy = 0.6;

/** A warning where the model is mostly wrong; empty otherwise. */
export function accuracyNote({ accuracy }: ScopeAnalysis): string {
  if (Number.isNaN(accuracy) || accuracy >= lowAccuracy) return '';
  return `Only ${percentText(accuracy)} of the answers are as expected. Ground truth speaks of right answers, so the checks with Oracle and with grounded questions say little here.`;
}
