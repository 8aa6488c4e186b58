import type { Interval } from '../statistics/bootstrap.js';
import { decimal, interval } from '../text-table.js';
import type { Check, CheckOutcome, ScopeAnalysis } from './scope.js';

type Scope = Omit<ScopeAnalysis, 'checks'>;
type Finding = Pick<Check, 'outcome' | 'evidence'>;

/**
 * Below these counts an interval from resampling says nothing: 4 against 4 is the least that can reach p <
 * 0.05.
 */
const fewestPerSide = 4;
const fewestSamples = 5;

/** What the lower end of the interval of the correlation with the exact index must exceed. */
const agreementThreshold = 0.5;

/** Tests of the metric itself; each compares an interval with a bound that was fixed beforehand. */
export function checkMetric(scope: Scope): Check[] {
  return [
    {
      id: 'oracle-above-random',
      label: 'Oracle above Random',
      claim: 'F_syn puts the marked places and words (Oracle) above Random',
      ...compareControls(scope, 'oracle', 'random'),
    },
    {
      id: 'random-above-anti-oracle',
      label: 'Random above Anti-Oracle',
      claim: 'F_syn puts Random above all others (Anti-Oracle)',
      ...compareControls(scope, 'random', 'anti-oracle'),
    },
    {
      id: 'oracle-above-anti-oracle',
      label: 'Oracle above Anti-Oracle',
      claim: 'F_syn puts Oracle above Anti-Oracle',
      ...compareControls(scope, 'oracle', 'anti-oracle'),
    },
    {
      id: 'grounded-above-prior',
      label: 'grounded above prior questions',
      claim: 'F_syn is larger on questions that need image and text than on those that need one',
      ...compareGrounding(scope),
    },
    {
      id: 'enough-need-both',
      label: 'enough questions need both',
      claim: 'The model needs image and text together on enough questions to tell explainers apart',
      ...countNeedsBoth(scope),
    },
    {
      id: 'agrees-with-shapley',
      label: 'agrees with the exact index',
      claim: 'F_syn orders rows as the exact Shapley interaction index does',
      ...compareShapley(scope),
    },
    {
      id: 'orders-explainers-as-shapley',
      label: 'orders explainers like the exact index',
      claim: 'F_syn orders the explainers of one sample as the exact index does',
      ...compareWithinSamples(scope),
    },
    {
      id: 'maps-order-players',
      label: 'maps order the players',
      claim: 'No explainer gives all players of a modality one score, so that their places decide',
      ofExplainers: true,
      ...findConstantMaps(scope),
    },
  ];
}

/**
 * Doubtful as soon as one check of the metric fails, trustworthy when all hold. What is said of explainers
 * only is left to the reader.
 */
export function overallOutcome(all: readonly Check[]): CheckOutcome {
  const checks = all.filter(({ ofExplainers }) => !ofExplainers);
  if (checks.some((check) => check.outcome === 'fails')) return 'fails';
  return checks.every((check) => check.outcome === 'holds') ? 'holds' : 'open';
}

/**
 * Constant maps say nothing against the metric, only that its numbers for these explainers are not theirs.
 */
function findConstantMaps({ explainers }: Scope): Finding {
  const measured = explainers.filter(({ control, samples }) => !control && samples > 0);
  if (measured.length === 0) return { outcome: 'open', evidence: 'no explainer besides the controls' };
  const list = measured
    .filter(({ maps }) => maps.constant > 0)
    .map(({ name, maps }) => `${name} ${maps.constant} of ${maps.samples}`);
  return list.length === 0
    ? { outcome: 'holds', evidence: `no constant map of ${measured.length} explainers` }
    : { outcome: 'open', evidence: `samples with a constant map: ${list.join(', ')}` };
}

function compareControls({ controls, oneSided }: Scope, one: string, other: string): Finding {
  const found = controls.find((pair) => pair.one === one && pair.other === other);
  const half = besides(oneSided, 'whose ground truth is in one modality only: half an Oracle is none');
  if (!found || found.samples === 0)
    return { outcome: 'open', evidence: `no grounded samples with both controls${half}` };
  const p = found.adjusted < 0.001 ? 'p < 0.001' : `p ${found.adjusted.toFixed(3)}`;
  return {
    outcome: found.verdict > 0 ? 'holds' : found.verdict < 0 ? 'fails' : 'open',
    evidence: `difference ${interval(found.difference)} on ${found.samples} grounded samples, larger on ${(100 * found.wins).toFixed(0)} %, ${p}${half}`,
  };
}

function compareGrounding({ separation }: Scope): Finding {
  const find = (score: string, measure: string) =>
    separation.find((entry) => entry.score === score && entry.measure === measure)?.auc;
  const auc = find('explainers', 'raw') ?? find('random', 'raw');
  if (!auc || Number.isNaN(auc.estimate)) return { outcome: 'open', evidence: 'no samples of both kinds' };
  if (Math.min(auc.positives, auc.negatives) < fewestPerSide) {
    return {
      outcome: 'open',
      evidence: `too few samples: ${auc.positives} against ${auc.negatives}, ${fewestPerSide} of each are needed`,
    };
  }
  const corners = find('corners', 'corners');
  const compared = corners
    ? `; the corner dividend alone, without any explainer: ${decimal(corners.estimate, 2)}`
    : '';
  return {
    outcome: against(auc, 0.5),
    evidence: `ROC area ${interval(auc, 2)}, ${auc.positives} against ${auc.negatives} samples${compared}`,
  };
}

/**
 * With fewer samples the exact signed-rank test cannot reach 0.05 after Holm's correction over all pairs,
 * even where every sample agrees: its smallest p-value is 2^(1 - n).
 */
function countNeedsBoth({ behaviour, pairs }: Scope): Finding {
  const known = Object.values(behaviour).reduce((sum, count) => sum + count, 0);
  const needed = Math.floor(Math.log2(Math.max(pairs.length, 1) / 0.05) + 1) + 1;
  const evidence = `${behaviour.both} of ${known} samples need both; ${needed} are the fewest on which one of ${Math.max(pairs.length, 1)} pairs can be told apart`;
  return { outcome: behaviour.both >= needed ? 'holds' : 'open', evidence };
}

function compareShapley({ agreement }: Scope): Finding {
  const found = agreement?.variants.find(({ variant, part }) => variant === 'raw' && part === 'mean');
  if (!agreement || !found) {
    return { outcome: 'open', evidence: 'no rows with the index (run with --sii-samples)' };
  }
  if (agreement.questions === 'prior')
    return { outcome: 'open', evidence: 'only questions that one modality answers have the index' };
  if (agreement.liveSamples < fewestSamples)
    return {
      outcome: 'open',
      evidence: `too few samples with the index: ${agreement.liveSamples} of ${fewestSamples}${besides(
        agreement.samples - agreement.liveSamples,
        'where F_syn and index are zero',
      )}`,
    };
  const rho = found.spearmanWithoutEndpoint;
  if (Number.isNaN(rho.low))
    return { outcome: 'open', evidence: 'F_syn or the index is the same on all rows, so they have no order' };
  return {
    outcome: against(rho, agreementThreshold),
    evidence: `Spearman ${interval(rho, 2)} without the shared endpoint over ${agreement.rows} rows of ${agreement.samples} ${agreement.questions === 'grounded' ? 'grounded ' : ''}samples; bound ${agreementThreshold}`,
  };
}

function compareWithinSamples({ agreement }: Scope): Finding {
  const rho = agreement?.withinSample;
  if (agreement?.questions === 'prior')
    return { outcome: 'open', evidence: 'only questions that one modality answers have the index' };
  const leftOut = besides(rho?.constant ?? 0, 'where all explainers have the same F_syn or index');
  if (!rho || rho.samples < fewestSamples) {
    const count = rho?.samples ?? 0;
    return {
      outcome: 'open',
      evidence: `too few samples with the index for three explainers or more: ${count} of ${fewestSamples}${leftOut}`,
    };
  }
  return {
    outcome: against(rho, 0),
    evidence: `mean Spearman ${interval(rho, 2)} within ${rho.samples} samples, without the shared endpoint${leftOut}`,
  };
}

/** Samples that an outcome does not rest on. */
function besides(samples: number, why: string): string {
  return samples === 0 ? '' : `, besides ${samples} ${why}`;
}

function against({ low, high }: Interval, bound: number): CheckOutcome {
  return low > bound ? 'holds' : high < bound ? 'fails' : 'open';
}
