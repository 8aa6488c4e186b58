import { checkNumber } from '../checks.js';
import { invalidArgument } from '../errors.js';

/**
 * `certified` holds for every number of samples and every distribution within the bound; `asymptotic` in the
 * limit of many samples only.
 */
export type Guarantee = 'certified' | 'asymptotic';

export const guarantees: readonly Guarantee[] = ['certified', 'asymptotic'];

/** Before this many differences nothing is concluded from a limit of many. */
export const asymptoticStart = 20;

/** The number of differences at which the normal mixture is narrowest. */
const mixtureFocus = 60;

/**
 * Most that is bet, as a share of what a difference at the bound would lose: one bad draw never ends the
 * game.
 */
const largestBet = 0.9;

/**
 * Evidence on the sign of the mean of a stream of differences that may be looked at after every one of them:
 * under a mean <= 0 the chance that `above` ever falls to p is at most p, and `below` likewise for >= 0.
 *
 * `certified` bets against each sign (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random
 * variables by betting", section 4.3, bets by aGRAPA, their appendix B.3); the wealth is a supermartingale
 * for every distribution on [-bound, bound], and Ville's inequality turns it into a p-value.
 * `asymptotic` is the normal mixture with the running variance (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
 * 2024, "Time-uniform central limit theory and asymptotic confidence sequences", theorem 2.2).
 */
export class SignTest {
  readonly #bound: number;
  readonly #guarantee: Guarantee;
  /** Log wealth of betting on a positive mean, and on a negative one. */
  readonly #wealth = [0, 0];
  readonly #largest = [0, 0];
  #count = 0;
  #mean = 0;
  #squares = 0;

  /** @param bound largest size of a difference, > 0 */
  constructor(bound: number, guarantee: Guarantee) {
    checkNumber('bound', bound, { above: 0 });
    this.#bound = bound;
    this.#guarantee = guarantee;
  }

  get count(): number {
    return this.#count;
  }

  get mean(): number {
    return this.#count > 0 ? this.#mean : Number.NaN;
  }

  /** Anytime-valid p-value of "the mean is not above zero"; and of "not below zero". */
  get above(): number {
    return Math.exp(-this.#largest[0]);
  }

  get below(): number {
    return Math.exp(-this.#largest[1]);
  }

  /**
   * @returns whether a p-value became smaller
   * @throws FsynError INVALID_ARGUMENT for a difference outside [-bound, bound]: the certificate rests on it
   */
  add(difference: number): boolean {
    if (!(Math.abs(difference) <= this.#bound * (1 + 1e-9)))
      throw invalidArgument('difference', `a number of size <= ${this.#bound}`, difference);
    if (this.#guarantee === 'certified') this.#bet(difference / this.#bound);
    this.#count++;
    const before = difference - this.#mean;
    this.#mean += before / this.#count;
    this.#squares += before * (difference - this.#mean);
    if (this.#guarantee === 'asymptotic') this.#mix();
    let grew = false;
    for (const side of [0, 1]) {
      grew ||= this.#wealth[side] > this.#largest[side];
      this.#largest[side] = Math.max(this.#largest[side], this.#wealth[side]);
    }
    return grew;
  }

  /**
   * The bet looks at earlier differences only, with half a difference of size 1/4 added so that it is small
   * at first.
   */
  #bet(x: number): void {
    const weight = this.#count + 1;
    const mean = (this.#mean * this.#count) / this.#bound / weight;
    const variance = (this.#squares / this.#bound ** 2 + 1 / 16) / weight;
    const wanted = mean / (variance + mean ** 2);
    for (const [side, sign] of [1, -1].entries()) {
      const bet = Math.min(Math.max(sign * wanted, 0), largestBet);
      this.#wealth[side] += Math.log1p(bet * sign * x);
    }
  }

  /** Two-sided evidence of the mixture, given to the side that the mean is on. */
  #mix(): void {
    const n = this.#count;
    if (n < asymptoticStart || this.#squares === 0) return;
    const variance = this.#squares / n;
    const spread = 1 / mixtureFocus;
    const evidence =
      -Math.log1p(n * spread) / 2 + (spread * (n * this.#mean) ** 2) / variance / (2 * (n * spread + 1));
    this.#wealth[0] = this.#mean > 0 ? evidence : 0;
    this.#wealth[1] = this.#mean < 0 ? evidence : 0;
  }
}
