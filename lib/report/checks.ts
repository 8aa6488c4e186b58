import type { Interval } from '../statistics/bootstrap.js';
import type { ScopeAnalysis } from './analysis.js';
import type { Comparison } from './comparison.js';

/** `open`: the data cannot tell, or the rows that it takes are missing. */
export type CheckOutcome = 'holds' | 'open' | 'fails';

/** One thing that must be true for F_syn to be believed on this model and data. */
export interface Check {
  readonly id: string;
  readonly claim: string;
  readonly outcome: CheckOutcome;
  /** The numbers behind the outcome. */
  readonly evidence: string;
}

/** Below these counts an interval from resampling says nothing: 4 against 4 is the least that can reach p < 0.05. */
const fewestPerSide = 4;
const fewestSamples = 5;

/** What F_syn must reach to count as agreeing with the exact index: the lower end of its interval. */
export const agreementThreshold = 0.5;

/** Tests of the metric itself; each compares an interval with a bound that was fixed beforehand. */
export function checkMetric(scope: Omit<ScopeAnalysis, 'checks'>): Check[] {
  return [
    controlCheck(scope.controls, 'oracle', 'random', 'F_syn puts the true cause (Oracle) above Random'),
    controlCheck(
      scope.controls,
      'random',
      'anti-oracle',
      'F_syn puts Random above the wrong places (Anti-Oracle)',
    ),
    controlCheck(scope.controls, 'oracle', 'anti-oracle', 'F_syn puts Oracle above Anti-Oracle'),
    groundingCheck(scope),
    shapleyCheck(scope),
    withinSampleCheck(scope),
  ];
}

/** Doubtful as soon as one check fails, trustworthy when all hold. */
export function overallOutcome(checks: readonly Check[]): CheckOutcome {
  if (checks.some((check) => check.outcome === 'fails')) return 'fails';
  return checks.every((check) => check.outcome === 'holds') ? 'holds' : 'open';
}

function controlCheck(controls: readonly Comparison[], one: string, other: string, claim: string): Check {
  const id = `${one}-above-${other}`;
  const found = controls.find((pair) => pair.one === one && pair.other === other);
  if (!found || found.samples === 0) {
    return { id, claim, outcome: 'open', evidence: 'no grounded samples with both controls' };
  }
  return {
    id,
    claim,
    outcome: found.verdict > 0 ? 'holds' : found.verdict < 0 ? 'fails' : 'open',
    evidence: `difference ${show(found.difference)} on ${found.samples} grounded samples, larger on ${percent(found.wins)}, p ${pText(found.adjusted)}`,
  };
}

function groundingCheck(scope: Omit<ScopeAnalysis, 'checks'>): Check {
  const id = 'grounded-above-prior';
  const claim = 'F_syn is larger on questions that need image and text than on those that need one';
  const find = (score: string) =>
    scope.separation.find(
      (entry) => entry.score === score && entry.measure !== 'normalised' && entry.measure !== 'clipped',
    );
  const found = find('explainers') ?? find('random');
  if (!found || Number.isNaN(found.auc.estimate))
    return { id, claim, outcome: 'open', evidence: 'no samples of both kinds' };
  const { auc } = found;
  if (Math.min(auc.positives, auc.negatives) < fewestPerSide) {
    const evidence = `too few samples: ${auc.positives} against ${auc.negatives}`;
    return { id, claim, outcome: 'open', evidence };
  }
  const corners = find('corners');
  const compared = corners
    ? `; the corner dividend alone, without any explainer: ${show(corners.auc, 2)}`
    : '';
  return {
    id,
    claim,
    outcome: auc.low > 0.5 ? 'holds' : auc.high < 0.5 ? 'fails' : 'open',
    evidence: `ROC area ${show(auc, 2)}, ${auc.positives} against ${auc.negatives} samples${compared}`,
  };
}

function shapleyCheck({ agreement }: Omit<ScopeAnalysis, 'checks'>): Check {
  const id = 'agrees-with-shapley';
  const claim = 'F_syn orders rows as the exact Shapley interaction index does';
  const found = agreement?.variants.find(({ variant, part }) => variant === 'raw' && part === 'mean');
  if (!agreement || !found)
    return { id, claim, outcome: 'open', evidence: 'no rows with the index (run with --sii-samples)' };
  if (agreement.samples < fewestSamples)
    return { id, claim, outcome: 'open', evidence: `too few samples with the index: ${agreement.samples}` };
  const rho = found.spearmanWithoutEndpoint;
  return {
    id,
    claim,
    outcome: rho.low > agreementThreshold ? 'holds' : rho.high < agreementThreshold ? 'fails' : 'open',
    evidence: `Spearman ${show(rho, 2)} without the shared endpoint over ${agreement.rows} rows of ${agreement.samples} samples; bound ${agreementThreshold}`,
  };
}

function withinSampleCheck({ agreement }: Omit<ScopeAnalysis, 'checks'>): Check {
  const id = 'orders-explainers-as-shapley';
  const claim = 'F_syn orders the explainers of one sample as the exact index does';
  if (!agreement || agreement.withinSample.samples < fewestSamples) {
    const evidence = `too few samples with the index for three explainers: ${agreement?.withinSample.samples ?? 0}`;
    return { id, claim, outcome: 'open', evidence };
  }
  const rho = agreement.withinSample;
  return {
    id,
    claim,
    outcome: rho.low > 0 ? 'holds' : rho.high < 0 ? 'fails' : 'open',
    evidence: `mean Spearman ${show(rho, 2)} within ${rho.samples} samples, without the shared endpoint`,
  };
}

function show({ estimate, low, high }: Interval, digits = 3): string {
  const text = (value: number) => (Number.isNaN(value) ? '-' : value.toFixed(digits));
  return Number.isNaN(low) ? text(estimate) : `${text(estimate)} [${text(low)}, ${text(high)}]`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function pText(p: number): string {
  return p < 0.001 ? '< 0.001' : p.toFixed(3);
}
