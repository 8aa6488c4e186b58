import { FsynError, invalidArgument } from '../errors.js';
import { ValueTable } from './value-table.js';

/** The egalitarian least core of a game. */
export interface LeastCore {
  /** One payoff per player; they sum to v(N) - v(empty). */
  readonly payoffs: Float64Array;
  /** The smallest e >= 0 with payoff(S) + e >= v(S) - v(empty) for every coalition S. */
  readonly subsidy: number;
}

/** Every coalition is a constraint and is checked again after every step. */
const MOST_PLAYERS = 18;

/**
 * Egalitarian least core (Yan & Procaccia 2021): the smallest subsidy under which no coalition wants to
 * leave, and among the payoffs that reach it the shortest. The definition is lexicographic; shapiq minimises
 * the sum of both in one run, so its subsidy can be larger.
 *
 * Both are found by projecting a point far down the subsidy's axis onto the feasible payoffs (the penalty is
 * exact once it is large enough, which is verified), with a dual active-set method (Goldfarb & Idnani 1983).
 *
 * @throws FsynError INVALID_ARGUMENT for more than 18 players
 */
export function leastCoreSync(game: ValueTable): LeastCore {
  ValueTable.check(game);
  const n = game.players.count;
  if (n > MOST_PLAYERS) throw invalidArgument('game', `at most ${MOST_PLAYERS} players`, n);
  const demands = Float64Array.from(game.values, (value) => value - game.values[0]);
  const scale = demands.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  if (scale === 0) return { payoffs: new Float64Array(n), subsidy: 0 };
  const scaled = demands.map((value) => value / scale);
  let penalty = 64 * n;
  let before = new Projection(n, scaled, penalty).solve();
  for (let doubling = 0; doubling < 12; doubling++) {
    penalty *= 4;
    const now = new Projection(n, scaled, penalty).solve();
    const moved = now.reduce((most, x, i) => Math.max(most, Math.abs(x - before[i])), 0);
    before = now;
    if (moved < 1e-9) {
      return { payoffs: now.slice(0, n).map((x) => x * scale), subsidy: Math.max(now[n], 0) * scale };
    }
  }
  throw new FsynError('INVALID_ARGUMENT', 'The least core of this game is too badly scaled to be found.');
}

/** Constraint numbers: coalition masks, then the subsidy's sign. Coalition N is the one equality. */
class Projection {
  readonly #n: number;
  readonly #demands: Float64Array;
  readonly #point: Float64Array;
  #active: number[];
  #multipliers: number[];

  constructor(players: number, demands: Float64Array, penalty: number) {
    this.#n = players;
    this.#demands = demands;
    this.#point = new Float64Array(players + 1);
    this.#point[players] = -penalty;
    this.#active = [demands.length - 1];
    const total = demands[demands.length - 1];
    for (let i = 0; i < players; i++) this.#point[i] = total / players;
    this.#multipliers = [0];
  }

  solve(): Float64Array {
    for (let step = 0; step < 10_000; step++) {
      const worst = this.#mostViolated();
      if (worst < 0) return this.#point;
      this.#enter(worst);
    }
    throw new FsynError('INVALID_ARGUMENT', 'The least core was not found in 10000 steps.');
  }

  #normal(constraint: number): Float64Array {
    const normal = new Float64Array(this.#n + 1);
    const everyone = this.#demands.length - 1;
    normal[this.#n] = constraint === everyone ? 0 : 1;
    if (constraint <= everyone) for (let i = 0; i < this.#n; i++) normal[i] = (constraint >> i) & 1;
    return normal;
  }

  #bound(constraint: number): number {
    return constraint < this.#demands.length ? this.#demands[constraint] : 0;
  }

  #mostViolated(): number {
    const everyone = this.#demands.length - 1;
    const subsidy = this.#point[this.#n];
    const sums = new Float64Array(this.#demands.length);
    let worst = -1;
    let most = 1e-11;
    const consider = (constraint: number, violation: number) => {
      if (violation > most) [worst, most] = [constraint, violation];
    };
    for (let mask = 1; mask < everyone; mask++) {
      const low = mask & -mask;
      sums[mask] = sums[mask ^ low] + this.#point[31 - Math.clz32(low)];
      consider(mask, this.#demands[mask] - sums[mask] - subsidy);
    }
    consider(this.#demands.length, -subsidy);
    return worst;
  }

  /** Makes a violated constraint active, dropping those that stand in its way. */
  #enter(constraint: number): void {
    const normal = this.#normal(constraint);
    let multiplier = 0;
    for (;;) {
      const normals = this.#active.map((active) => this.#normal(active));
      const shares = solveGram(normals, normal);
      const direction = normal.slice();
      for (const [k, own] of normals.entries()) {
        for (let i = 0; i <= this.#n; i++) direction[i] -= shares[k] * own[i];
      }
      const length = dot(direction, direction);
      const full =
        length > 1e-12
          ? (this.#bound(constraint) - dot(normal, this.#point)) / length
          : Number.POSITIVE_INFINITY;
      let partial = Number.POSITIVE_INFINITY;
      let leaving = -1;
      // The equality, first in the list, never leaves.
      for (let k = 1; k < this.#active.length; k++) {
        if (shares[k] > 1e-12 && this.#multipliers[k] / shares[k] < partial) {
          partial = this.#multipliers[k] / shares[k];
          leaving = k;
        }
      }
      const stride = Math.min(full, partial);
      if (stride === Number.POSITIVE_INFINITY)
        throw new FsynError('INVALID_ARGUMENT', 'The least core is empty.');
      this.#multipliers = this.#multipliers.map((own, k) => own - stride * shares[k]);
      multiplier += stride;
      if (full < Number.POSITIVE_INFINITY) {
        for (let i = 0; i <= this.#n; i++) this.#point[i] += stride * direction[i];
      }
      if (full <= partial) {
        this.#active.push(constraint);
        this.#multipliers.push(multiplier);
        return;
      }
      this.#active.splice(leaving, 1);
      this.#multipliers.splice(leaving, 1);
    }
  }
}

/** r with (N' N) r = N' a, by Gaussian elimination with pivoting; the normals are independent. */
function solveGram(normals: readonly Float64Array[], a: Float64Array): number[] {
  const size = normals.length;
  const rows = normals.map((own) => [...normals.map((other) => dot(own, other)), dot(own, a)]);
  for (let c = 0; c < size; c++) {
    let pivot = c;
    for (let r = c + 1; r < size; r++) if (Math.abs(rows[r][c]) > Math.abs(rows[pivot][c])) pivot = r;
    [rows[c], rows[pivot]] = [rows[pivot], rows[c]];
    for (let r = c + 1; r < size; r++) {
      const factor = rows[r][c] / rows[c][c];
      for (let k = c; k <= size; k++) rows[r][k] -= factor * rows[c][k];
    }
  }
  const solution = new Array<number>(size).fill(0);
  for (let c = size - 1; c >= 0; c--) {
    let sum = rows[c][size];
    for (let k = c + 1; k < size; k++) sum -= rows[c][k] * solution[k];
    solution[c] = sum / rows[c][c];
  }
  return solution;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
