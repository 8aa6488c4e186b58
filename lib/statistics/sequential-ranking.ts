import { checkNumber } from '../checks.js';
import { invalidArgument } from '../errors.js';
import { type Guarantee, SignTest } from './sequential.js';
import { holm } from './tests.js';

export interface SequentialRankingOptions {
  /** Largest chance that any pair is ever put in a false order, in (0, 1). */
  readonly alpha: number;
  /** Largest size of a difference of two values of one sample. */
  readonly bound: number;
  readonly guarantee: Guarantee;
  /** The one pair whose order is asked for; all of them otherwise. */
  readonly pair?: readonly [string, string];
}

/** An order of two that is certain. */
export interface CertainPair {
  readonly above: string;
  readonly below: string;
}

/** What is known of one that is ranked. */
export interface Place {
  readonly name: string;
  /** First and last place that it can have, 1 = largest mean; the same where its place is certain. */
  readonly first: number;
  readonly last: number;
  /** Values that it was given. */
  readonly samples: number;
}

interface Pair {
  readonly one: string;
  readonly other: string;
  readonly test: SignTest;
}

/**
 * Ranks by means of paired values that arrive sample after sample, and says at any time which orders are
 * certain. Anytime-valid p-values of every pair and direction, Holm's correction over all of them, then the
 * transitive closure: the chance that any order is ever false is at most alpha, whenever one stops and
 * whichever names are given no more values for what was seen before.
 */
export class SequentialRanking {
  readonly names: readonly string[];
  readonly #options: SequentialRankingOptions;
  readonly #pairs: readonly Pair[];
  readonly #samples = new Map<string, number>();
  /** Names that are certainly below each. */
  #below = new Map<string, ReadonlySet<string>>();

  /** @throws FsynError INVALID_ARGUMENT for an alpha outside (0, 1), fewer than two names, an unknown pair */
  constructor(names: readonly string[], options: SequentialRankingOptions) {
    checkNumber('alpha', options.alpha, { above: 0, below: 1 });
    if (names.length < 2) throw invalidArgument('names', 'at least 2 to rank', names.join(', ') || 'none');
    for (const name of options.pair ?? [])
      if (!names.includes(name)) throw invalidArgument('pair', `two of ${names.join(', ')}`, name);
    this.names = options.pair ?? names;
    if (new Set(this.names).size < this.names.length)
      throw invalidArgument('pair', 'two different names', this.names.join(', '));
    this.#options = options;
    this.#pairs = this.names.flatMap((one, i) =>
      this.names
        .slice(i + 1)
        .map((other) => ({ one, other, test: new SignTest(options.bound, options.guarantee) })),
    );
    this.#conclude();
  }

  /** Names whose place is open: only these need more values. */
  get open(): string[] {
    return this.places.filter(({ first, last }) => first !== last).map(({ name }) => name);
  }

  get isCertain(): boolean {
    return this.open.length === 0;
  }

  /** Takes one sample. Pairs use what both have; names without a value, and NaN, are passed over. */
  add(values: ReadonlyMap<string, number>): void {
    for (const name of this.names)
      if (isGiven(values.get(name))) this.#samples.set(name, (this.#samples.get(name) ?? 0) + 1);
    let grew = false;
    for (const { one, other, test } of this.#pairs) {
      const [a, b] = [values.get(one), values.get(other)];
      if (isGiven(a) && isGiven(b) && test.add(a - b)) grew = true;
    }
    if (grew) this.#conclude();
  }

  get places(): Place[] {
    const count = this.names.length;
    return this.names.map((name) => {
      const above = this.names.filter((other) => this.#below.get(other)!.has(name)).length;
      return {
        name,
        first: 1 + above,
        last: count - this.#below.get(name)!.size,
        samples: this.#samples.get(name) ?? 0,
      };
    });
  }

  get certain(): CertainPair[] {
    return this.names.flatMap((above) =>
      this.names
        .filter((below) => this.#below.get(above)!.has(below))
        .map((below): CertainPair => ({ above, below })),
    );
  }

  /** Every pair with the mean of its differences and the p-values of both directions, corrected. */
  get pairs(): { one: string; other: string; samples: number; mean: number; above: number; below: number }[] {
    const adjusted = this.#adjusted();
    return this.#pairs.map(({ one, other, test }, i) => ({
      one,
      other,
      samples: test.count,
      mean: test.mean,
      above: adjusted[2 * i],
      below: adjusted[2 * i + 1],
    }));
  }

  #adjusted(): Float64Array {
    return holm(this.#pairs.flatMap(({ test }) => [test.above, test.below]));
  }

  #conclude(): void {
    const adjusted = this.#adjusted();
    const below = new Map(this.names.map((name) => [name, new Set<string>()]));
    for (const [i, { one, other }] of this.#pairs.entries()) {
      if (adjusted[2 * i] <= this.#options.alpha) below.get(one)!.add(other);
      if (adjusted[2 * i + 1] <= this.#options.alpha) below.get(other)!.add(one);
    }
    for (const via of this.names)
      for (const from of this.names)
        if (below.get(from)!.has(via)) for (const to of below.get(via)!) below.get(from)!.add(to);
    this.#below = below;
  }
}

function isGiven(value: number | undefined): value is number {
  return value !== undefined && !Number.isNaN(value);
}
