import type { Behaviour } from '../metrics/modality.js';
import type { Interval } from '../statistics/bootstrap.js';
import type { Separation } from '../statistics/separation.js';
import type { FriedmanResult } from '../statistics/tests.js';
import type { Agreement } from './agreement.js';
import type { MeanBounds } from './bounded.js';
import type { Comparison } from './comparison.js';
import type { MapOrder } from './map-order.js';
import type { Measure } from './row-measures.js';
import type { Scale } from './scale.js';
import type { Suspicion } from './suspicion.js';

/** A rank of an explainer among the ranked ones, 1 = largest mean, with its bootstrap interval. */
export type Rank = Interval;

/** One explainer in a scope. */
export interface ExplainerAnalysis {
  readonly name: string;
  readonly control: boolean;
  readonly samples: number;
  readonly failed: number;
  readonly failures: readonly { code: string; count: number; message: string }[];
  /** On how many samples its maps order little or nothing. */
  readonly maps: MapOrder;
  /** What looks like a mistake in the scores of an explainer from outside. */
  readonly suspicions: readonly Suspicion[];
  /** Within which bounds its mean F_syn is known; null where every value is exact. */
  readonly bounds: MeanBounds | null;
  readonly means: Readonly<Record<Measure, Interval>>;
  /** Ranks of mean image SRG, text SRG and raw F_syn; null for the controls that know the truth. */
  readonly ranks: { readonly image: Rank; readonly text: Rank; readonly synergy: Rank } | null;
  /** Mean over samples of the rank within the sample; null for the controls that know the truth. */
  readonly meanRanks: { readonly image: number; readonly text: number; readonly synergy: number } | null;
  /**
   * Mean exact index over the rows that it is compared on, and mean raw F_syn of the same rows; null without
   * any.
   */
  readonly shapley: { readonly mean: number; readonly synergy: number; readonly rows: number } | null;
  /** Raw F_syn by what a correct answer needs. */
  readonly byGrounding: Readonly<Record<string, Interval & { readonly samples: number }>>;
  /** Raw F_syn by what the model needed for its answer. */
  readonly byBehaviour: Readonly<Record<string, Interval & { readonly samples: number }>>;
  readonly secondsPerSample: number;
}

/** How well F_syn tells questions that need both modalities from those that need one. */
export interface GroundingSeparation {
  /**
   * An explainer, `explainers` for their mean per sample, or `corners` for the dividend that no explainer
   * changes.
   */
  readonly score: string;
  readonly measure: Measure | 'corners';
  readonly auc: Separation;
}

/** Everything said about one model on one dataset, or on all its datasets together. */
export interface ScopeAnalysis {
  readonly model: string;
  /** Null for all datasets together. */
  readonly dataset: string | null;
  readonly samples: number;
  readonly accuracy: number;
  readonly explainers: readonly ExplainerAnalysis[];
  /**
   * Samples on which every ranked explainer has a row, and Friedman's test on them; null where it cannot be
   * made.
   */
  readonly friedman: FriedmanResult | null;
  /** Kendall tau-b between the rankings by mean image SRG and by mean text SRG. */
  readonly tau: {
    readonly withRandom: Interval;
    readonly withoutRandom: Interval;
    readonly explainers: number;
  };
  /** Every pair of ranked explainers, Random included, by raw F_syn. */
  readonly pairs: readonly Comparison[];
  /**
   * Oracle, Random and Anti-Oracle against each other on grounded samples whose truth is in image and words.
   */
  readonly controls: readonly Comparison[];
  /** Every ranked explainer but Random against Oracle, on the same samples; empty without Oracle. */
  readonly againstOracle: readonly Comparison[];
  /** Grounded samples that are left out of both, because the truth is in one modality only. */
  readonly oneSided: number;
  /** Samples by what the model needed for its answer, of those with a measured row. */
  readonly behaviour: Readonly<Record<Behaviour, number>>;
  /** F_syn between chance and the best order; null without random orders and without Random. */
  readonly scale: Scale | null;
  readonly separation: readonly GroundingSeparation[];
  readonly agreement: Agreement | null;
  readonly checks: readonly Check[];
}

/** `open`: the data cannot tell, or the rows that it takes are missing. */
export type CheckOutcome = 'holds' | 'open' | 'fails';

/** One thing that must be true for F_syn to be believed on this model and data. */
export interface Check {
  readonly id: string;
  /** The claim in a few words. */
  readonly label: string;
  readonly claim: string;
  readonly outcome: CheckOutcome;
  /** Set where it says nothing for or against the metric. */
  readonly ofExplainers?: true;
  /** The numbers behind the outcome. */
  readonly evidence: string;
}
