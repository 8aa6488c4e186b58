import { FsynError } from '../../errors.js';
import { Random } from '../../statistics/random.js';
import type { InteractionSet } from '../interaction-set.js';
import { logBinomial } from '../weights.js';
import { CoalitionList, type Evaluator } from './evaluator.js';
import type { Estimate, MomentIndex } from './moments.js';
import { permutationBlock } from './requirements.js';
import { inUnit } from './unit.js';

/**
 * The coalitions of one permutation: prefixes of 0..n players, and prefixes whose last player is the next one
 * instead.
 */
interface Walk {
  readonly order: Int32Array;
  /** [n + 1] coalition numbers of the prefixes. */
  readonly prefix: Int32Array;
  /** [n - 1]: prefix of k players plus player k + 1 without player k; -1 when no wanted pair needs it. */
  readonly skipped: Int32Array;
}

/**
 * Orders 1 and 2 from permutations with shared prefixes: a permutation's n + 1 prefixes give every player's
 * marginal contribution (Castro, Gomez & Tejada 2009), n - 1 more coalitions the discrete derivative of every
 * adjacent pair (Tsai et al. 2023; the peer evaluates 4 (n - 1) coalitions for them). In a uniform
 * permutation the size of the prefix is uniform, as SII wants it; other indices weigh each derivative by the
 * ratio of their weights to SII's.
 *
 * The permutations come in blocks that put every pair side by side equally often: rotations of a zigzag,
 * renamed at random. All their prefixes are arcs of one circle, so a block shares most of them: n (n + 1) / 2
 * + 1 coalitions visit every pair where n is even, n (n - 1) + 2 where it is odd.
 *
 * @throws FsynError BUDGET when a wanted interaction was never adjacent
 */
export async function permutationEstimate(
  evaluator: Evaluator,
  set: InteractionSet,
  index: MomentIndex,
  p: number,
  budget: number,
  seed: number,
): Promise<Estimate & { readonly baseline: number }> {
  const n = set.players;
  if (index === 'STII' && set.maxOrder === 2 && set.minOrder === 1) {
    throw new FsynError(
      'INVALID_ARGUMENT',
      'Permutations estimate the pairs of STII; its singles are v(i) - v(empty): set minOrder to 2.',
    );
  }
  const coalitions = new CoalitionList(n);
  const walks = plan(set, budget, new Random(seed), coalitions);
  const values = await evaluator.values(coalitions.toBatch());
  const found = await inUnit(values, (scaled) =>
    accumulate(walks, scaled, set, (s, t) => weightRatio(index, n, s, t, p)),
  );
  // Every walk starts at the empty coalition, so it is the first of the list.
  return { ...found, baseline: values[0] };
}

/** Weight of an index over that of SII, for interactions of s = 1 or 2 players. */
function weightRatio(index: MomentIndex, n: number, s: number, t: number, p: number): number {
  switch (index) {
    case 'CHII':
      return s === 1 ? 1 : (2 * (t + 1)) / n;
    case 'STII':
      return s === 1 ? 1 : (2 * (n - 1 - t)) / n;
    case 'BII':
    case 'WBII': {
      const inside = index === 'BII' ? 0.5 : p;
      // 0^0 = 1: an impossible size has weight 0 through the factor that is 0 and not through its logarithm.
      const power = (base: number, exponent: number) => (exponent === 0 ? 0 : exponent * Math.log(base));
      return (n - s + 1) * Math.exp(logBinomial(n - s, t) + power(inside, t) + power(1 - inside, n - s - t));
    }
    default:
      return 1;
  }
}

function plan(set: InteractionSet, budget: number, random: Random, coalitions: CoalitionList): Walk[] {
  const walks: Walk[] = [];
  let idle = 0;
  for (const order of balancedPermutations(set.players, random)) {
    const words = walkWords(order, set);
    const fresh = new Set(words.filter((w) => w && !coalitions.has(w)).map((w) => (w as Uint32Array).join()));
    if (coalitions.length + fresh.size > budget) break;
    // Free walks are welcome, but once every coalition is known there would be no end of them.
    idle = fresh.size === 0 ? idle + 1 : 0;
    if (idle > 10 * set.players) break;
    const numbers = words.map((w) => (w ? coalitions.add(w) : -1));
    const n = set.players;
    walks.push({
      order,
      prefix: Int32Array.from(numbers.slice(0, n + 1)),
      skipped: Int32Array.from(numbers.slice(n + 1)),
    });
  }
  return walks;
}

function walkWords(order: Int32Array, set: InteractionSet): (Uint32Array | null)[] {
  const n = order.length;
  const stride = Math.ceil(n / 32);
  const prefixes: Uint32Array[] = [new Uint32Array(stride)];
  for (const player of order) prefixes.push(withPlayer(prefixes[prefixes.length - 1], player));
  const skipped: (Uint32Array | null)[] = [];
  for (let k = 0; k + 1 < n; k++) {
    const wanted = set.maxOrder >= 2 && set.position(pair(order[k], order[k + 1])) >= 0;
    skipped.push(wanted ? withPlayer(prefixes[k], order[k + 1]) : null);
  }
  return [...prefixes, ...skipped];
}

function withPlayer(words: Uint32Array, player: number): Uint32Array {
  const more = words.slice();
  more[player >>> 5] |= 1 << (player & 31);
  return more;
}

function pair(a: number, b: number): [number, number] {
  return a < b ? [a, b] : [b, a];
}

/** Without end: rotations of the zigzag 0, 1, n-1, 2, n-2, ..., renamed anew in every block. */
function* balancedPermutations(n: number, random: Random): Generator<Int32Array> {
  const zigzag = Int32Array.from({ length: n }, (_, k) => (k % 2 === 1 ? (k + 1) / 2 : (n - k / 2) % n));
  const rotations = n % 2 === 0 ? n / 2 : n;
  for (;;) {
    const names = random.permutation(n);
    for (const turn of random.permutation(rotations)) yield zigzag.map((k) => names[(k + turn) % n]);
  }
}

function accumulate(
  walks: readonly Walk[],
  values: Float64Array,
  set: InteractionSet,
  ratio: (s: number, t: number) => number,
): Estimate {
  const hits = new Float64Array(set.length);
  const sums = new Float64Array(set.length);
  const squares = new Float64Array(set.length);
  const add = (position: number, term: number) => {
    hits[position]++;
    sums[position] += term;
    squares[position] += term * term;
  };
  for (const { order, prefix, skipped } of walks) {
    for (let k = 0; k < order.length; k++) {
      if (set.minOrder <= 1 && !set.sides) {
        add(set.position([order[k]]), ratio(1, k) * (values[prefix[k + 1]] - values[prefix[k]]));
      }
      if (k + 1 === order.length || skipped[k] < 0) continue;
      const derivative =
        values[prefix[k + 2]] - values[prefix[k + 1]] - values[skipped[k]] + values[prefix[k]];
      add(set.position(pair(order[k], order[k + 1])), ratio(2, k) * derivative);
    }
  }
  const unseen = hits.filter((count) => count === 0).length;
  if (unseen > 0) {
    throw new FsynError(
      'BUDGET',
      `${unseen} of ${set.length} interactions were never sampled by ${walks.length} permutations; ${permutationBlock(set.players)} evaluations visit every pair.`,
    );
  }
  return {
    values: sums.map((sum, i) => sum / hits[i]),
    standardErrors: sums.map((sum, i) =>
      hits[i] > 1
        ? Math.sqrt(Math.max(squares[i] / hits[i] - (sum / hits[i]) ** 2, 0) / (hits[i] - 1))
        : Number.POSITIVE_INFINITY,
    ),
  };
}
