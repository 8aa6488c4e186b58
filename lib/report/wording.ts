import { interval } from '../text-table.js';
import type { ExplainerStyle } from './explainer-style.js';
import type { Report } from './report.js';
import { percentText } from './report-tables.js';
import type { Scale } from './scale.js';
import type { CheckOutcome, ScopeAnalysis } from './scope.js';
import type { Verdict } from './verdict.js';

/** Every explainer of the report, in order of first appearance. */
export function explainerNames(report: Report): string[] {
  return [...new Set(report.models.flatMap(({ overall }) => overall.explainers.map((row) => row.name)))];
}

/** The answer in one sentence. */
export function answerText(verdict: Verdict, scope: ScopeAnalysis, style: ExplainerStyle): string {
  const { best, rivals, samples, tied, bestBeatsRandom, unordered } = verdict;
  if (best === null) {
    return unordered.length === 0
      ? 'No explainer besides the controls was measured.'
      : 'No explainer besides the controls orders the players.';
  }
  const mean = interval(scope.explainers.find((row) => row.name === best)!.means.raw);
  if (samples === 1)
    return `One sample cannot say who is faithful; F_syn of ${style.title(best)} on it is ${mean}.`;
  if (rivals === 0) {
    const standing =
      bestBeatsRandom === null
        ? ''
        : `, ${verdict.aboveRandom.length > 0 ? 'above' : verdict.belowRandom.length > 0 ? 'below' : 'not told apart from'} Random`;
    return `${style.title(best)} was compared with no other explainer; its F_syn is ${mean}${standing}.`;
  }
  if (bestBeatsRandom === false)
    return `No explainer is shown to beat Random; the largest F_syn is ${style.title(best)}'s, ${mean}.`;
  const name = style.title(best);
  if (tied.length === 0) return `${name} is the most faithful, F_syn ${mean}.`;
  return `${name} has the largest F_syn, ${mean}, not told apart from ${listed(tied, style)}.`;
}

/**
 * What a reader must know of suspicious scores, of maps that order nothing, and of explainers that beat
 * Oracle; empty where there is neither.
 */
export function cautionText(
  { unordered, aboveOracle }: Verdict,
  { explainers }: ScopeAnalysis,
  style: ExplainerStyle,
): string {
  const counts = unordered.map((name) => {
    const { constant, samples } = explainers.find((row) => row.name === name)!.maps;
    return `${style.title(name)} on ${constant} of ${samples} samples`;
  });
  const sentences = [
    ...suspicionTexts({ explainers }).map((text) => `Suspicious scores of ${text}.`),
    counts.length === 0
      ? ''
      : `Constant maps in the image or in the words: ${joined(counts)}; there the places of the players decide F_syn, so it is not compared.`,
    aboveOracle.length === 0
      ? ''
      : `Above Oracle on grounded samples: ${listed(aboveOracle, style)}. What the data mark is not all that the model uses, and Oracle is no upper bound here.`,
  ];
  return sentences.filter((text) => text !== '').join(' ');
}

/** What looks like a mistake in the scores of explainers from outside, a line for each. */
export function suspicionTexts({ explainers }: Pick<ScopeAnalysis, 'explainers'>): string[] {
  return explainers.flatMap(({ name, suspicions }) =>
    suspicions.map(({ message, samples, of }) => `${name}: ${message} (${samples} of ${of} samples)`),
  );
}

/** How the explainers stand against Random. */
export function standingText(verdict: Verdict, style: ExplainerStyle): string {
  if (verdict.best === null) return '';
  if (verdict.bestBeatsRandom === null)
    return 'Random was not run, so nothing says whether these values are better than chance.';
  // The answer has said it of a single one.
  if (verdict.rivals === 0 && verdict.samples > 1) return '';
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
  return joined(names.map((name) => style.title(name)));
}

function joined(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

/** Below this share of expected answers the checks that rest on ground truth say little about the metric. */
const lowAccuracy = 0.6;

/** A warning where the model is mostly wrong; empty otherwise. */
export function accuracyNote({ accuracy }: ScopeAnalysis): string {
  if (Number.isNaN(accuracy) || accuracy >= lowAccuracy) return '';
  return `Only ${percentText(accuracy)} of the answers are as expected. Ground truth speaks of right answers, so the checks with Oracle and with grounded questions say little here.`;
}

/** Where the ends of the scale are, and what made them. */
export function scaleNote({ source, orders, samples, chance, best }: Scale): string {
  const what = source === 'orders' ? `${orders} random orders a sample` : 'the one order of Random';
  return `F_syn raw above chance (${what}: ${interval(chance)}); the best order found on each sample: ${interval(best)}; n=${samples}`;
}
