import type { Interval } from '../statistics/bootstrap.js';
import { kendall, ranks } from '../statistics/ranks.js';
import { type FriedmanResult, friedmanTest } from '../statistics/tests.js';
import type { MeasureMeans } from './measure-means.js';
import type { Measure } from './row-measures.js';
import type { ExplainerAnalysis, ScopeAnalysis } from './scope.js';

/** The measures that explainers are ranked by. */
const rankedBy = { image: 'imageSrg', text: 'textSrg', synergy: 'raw' } as const;
type RankedBy = keyof typeof rankedBy;

/** The order of explainers by image SRG, text SRG and raw F_syn, with what is known about its certainty. */
export class Ranking {
  readonly names: readonly string[];
  /** Friedman's test of raw F_syn; null where it cannot be made. */
  readonly friedman: FriedmanResult | null;
  readonly #means: MeasureMeans;
  readonly #blocks: Readonly<Record<RankedBy, FriedmanResult | null>>;

  /** @param names the explainers to be ranked, each with a measured row */
  constructor(means: MeasureMeans, names: readonly string[]) {
    this.names = names;
    this.#means = means;
    const complete = completeUnits(names.map((name) => means.values(name, 'raw')));
    this.#blocks = eachRanked((measure) =>
      blockTest(
        names.map((name) => means.values(name, measure)),
        complete,
      ),
    );
    this.friedman = this.#blocks.synergy;
  }

  /** Ranks of an explainer's means, 1 = largest; null for one that is not ranked. */
  ranks(name: string): ExplainerAnalysis['ranks'] {
    const position = this.names.indexOf(name);
    if (position < 0) return null;
    return eachRanked((measure) =>
      this.#means.intervalOf((meanOf) => {
        const values = this.names.map((other) => -meanOf(other, measure));
        // A resample may miss every row of an explainer that failed often.
        return values.some(Number.isNaN) ? Number.NaN : ranks(values)[position];
      }),
    );
  }

  /** Mean over samples of an explainer's rank within the sample; null without a common sample. */
  meanRanks(name: string): ExplainerAnalysis['meanRanks'] {
    const position = this.names.indexOf(name);
    const { image, text, synergy } = this.#blocks;
    if (position < 0 || !image || !text || !synergy) return null;
    return {
      image: image.meanRanks[position],
      text: text.meanRanks[position],
      synergy: synergy.meanRanks[position],
    };
  }

  /** Whether the modalities order the explainers alike. */
  get tau(): ScopeAnalysis['tau'] {
    return {
      withRandom: this.#tau(this.names),
      withoutRandom: this.#tau(this.names.filter((name) => name !== 'random')),
      explainers: this.names.length,
    };
  }

  #tau(among: readonly string[]): Interval {
    return this.#means.intervalOf((meanOf) => {
      const image = among.map((name) => meanOf(name, 'imageSrg'));
      const text = among.map((name) => meanOf(name, 'textSrg'));
      // As above: a mean of no rows has no place in an order.
      return [...image, ...text].some(Number.isNaN) ? Number.NaN : kendall(image, text);
    });
  }
}

function eachRanked<T>(of: (measure: Measure) => T): Record<RankedBy, T> {
  return { image: of(rankedBy.image), text: of(rankedBy.text), synergy: of(rankedBy.synergy) };
}

/** Units on which every column has a value. */
function completeUnits(columns: readonly Float64Array[]): number[] {
  const units = Array.from({ length: columns[0]?.length ?? 0 }, (_, i) => i);
  return units.filter((i) => columns.every((column) => !Number.isNaN(column[i])));
}

function blockTest(columns: readonly Float64Array[], units: readonly number[]): FriedmanResult | null {
  if (columns.length < 2 || units.length === 0) return null;
  return friedmanTest(columns.map((column) => Float64Array.from(units, (i) => column[i])));
}
