import { checkInteger } from '../checks.js';
import { FsynError } from '../errors.js';
import { binomial } from './weights.js';

/** More interactions than this would not fit in one typed array of members. */
const LARGEST_SET = 2 ** 26;

/**
 * Which interactions a computation covers, and their order: by size, then lexicographically by ascending
 * players. Either all coalitions of minOrder..maxOrder players, or of those only the ones with members of
 * both modalities.
 */
export class InteractionSet {
  readonly players: number;
  readonly minOrder: number;
  readonly maxOrder: number;
  /** Side of every player (1 image, 2 text, 0 neither), or null for all interactions. */
  readonly sides: Uint8Array | null;
  /** Members of all interactions, one after the other. */
  readonly members: Int32Array;
  /** Interaction i has members[offsets[i] .. offsets[i + 1]). */
  readonly offsets: Int32Array;
  /** Rank of every interaction among all of the same orders; null when that is its position. */
  readonly #ranks: Float64Array | null;

  constructor(players: number, minOrder: number, maxOrder: number, sides: Uint8Array | null = null) {
    checkInteger('order', maxOrder, 1, players);
    checkInteger('minOrder', minOrder, 0, maxOrder);
    this.players = players;
    this.minOrder = minOrder;
    this.maxOrder = maxOrder;
    this.sides = sides;
    const involved = sides ? sides.filter((side) => side !== 0).length : players;
    let bound = 0;
    for (let s = minOrder; s <= maxOrder; s++) bound += binomial(involved, s);
    if (bound > LARGEST_SET) {
      throw new FsynError(
        'INVALID_ARGUMENT',
        `Order ${maxOrder} of ${involved} players means ${bound} interactions; lower the order.`,
      );
    }
    const members: number[] = [];
    const offsets: number[] = [0];
    const ranks: number[] = [];
    for (let s = minOrder; s <= maxOrder; s++) {
      forEachCoalition(players, s, sides, (coalition) => {
        for (const player of coalition) members.push(player);
        offsets.push(members.length);
        if (sides) ranks.push(this.#rank(coalition));
      });
    }
    if (offsets.length === 1) {
      throw new FsynError(
        'INVALID_ARGUMENT',
        `No interaction of orders ${minOrder}..${maxOrder} has players of both modalities.`,
      );
    }
    this.members = Int32Array.from(members);
    this.offsets = Int32Array.from(offsets);
    this.#ranks = sides ? Float64Array.from(ranks) : null;
  }

  get length(): number {
    return this.offsets.length - 1;
  }

  /** Ascending players of interaction i. */
  at(i: number): Int32Array {
    return this.members.subarray(this.offsets[i], this.offsets[i + 1]);
  }

  order(i: number): number {
    return this.offsets[i + 1] - this.offsets[i];
  }

  /** Positions [begin, end) of the interactions of one order; begin = end when there are none. */
  range(order: number): [number, number] {
    let begin = 0;
    while (begin < this.length && this.order(begin) < order) begin++;
    let end = begin;
    while (end < this.length && this.order(end) === order) end++;
    return [begin, end];
  }

  /** Position of the interaction of these ascending players, or -1 when it is not in the set. */
  position(coalition: ArrayLike<number>): number {
    if (coalition.length < this.minOrder || coalition.length > this.maxOrder) return -1;
    const rank = this.#rank(coalition);
    if (!this.#ranks) return rank;
    let low = 0;
    let high = this.#ranks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranks[middle] < rank) low = middle + 1;
      else high = middle;
    }
    return this.#ranks[low] === rank ? low : -1;
  }

  #rank(coalition: ArrayLike<number>): number {
    const s = coalition.length;
    // Lexicographic from the back: all combinations up to this size, less those that come after.
    let rank = -1;
    for (let order = this.minOrder; order <= s; order++) rank += binomial(this.players, order);
    for (let i = 0; i < s; i++) rank -= binomial(this.players - 1 - coalition[i], s - i);
    return Math.round(rank);
  }
}

function forEachCoalition(
  players: number,
  size: number,
  sides: Uint8Array | null,
  visit: (coalition: readonly number[]) => void,
): void {
  const allowed = Array.from({ length: players }, (_, i) => i).filter((i) => sides?.[i] !== 0);
  const coalition: number[] = [];
  const extend = (from: number, seen: number): void => {
    if (coalition.length === size) {
      if (!sides || seen === 3) visit(coalition);
      return;
    }
    for (let i = from; i <= allowed.length - (size - coalition.length); i++) {
      coalition.push(allowed[i]);
      extend(i + 1, sides ? seen | sides[allowed[i]] : seen);
      coalition.pop();
    }
  };
  extend(0, 0);
}
