import { checkInteger, checkNumber } from '../checks.js';
import { invalidArgument } from '../errors.js';
import { Random } from '../statistics/random.js';
import { CoalitionBatch } from './coalitions.js';
import { Players } from './players.js';
import { maxTablePlayers, ValueTable } from './value-table.js';

/** One unanimity part of a game: adds `weight` when all `players` are present. */
export interface UnanimityPart {
  readonly players: readonly number[];
  readonly weight: number;
}

/**
 * A sum of unanimity games: its dividends are the weights, so every index of it is known exactly for any
 * number of players (SII of S: sum of weight / (|T| - |S| + 1) over the parts T >= S). The empty part is a
 * constant, parts of one player an additive game, a player in no part is a dummy.
 */
export class UnanimitySum {
  readonly players: number;
  readonly parts: readonly UnanimityPart[];

  constructor(players: number, parts: readonly UnanimityPart[]) {
    const known = new Players(players);
    this.players = players;
    if (!Array.isArray(parts)) throw invalidArgument('parts', 'an array of { players, weight }', parts);
    this.parts = (parts as readonly UnanimityPart[]).map(({ players: members, weight }, i) => {
      checkNumber(`parts[${i}].weight`, weight);
      return { players: known.sorted(members, `parts[${i}].players`), weight };
    });
  }

  /** `count` parts of 1..largest random players with weights in -1..1; the same for the same seed. */
  static random(players: number, count: number, largest: number, seed: number): UnanimitySum {
    checkInteger('count', count, 0);
    checkInteger('largest', largest, 1);
    const random = new Random(seed);
    const parts = Array.from({ length: count }, () => ({
      players: Array.from(
        random.permutation(players).subarray(0, 1 + random.integer(Math.min(largest, players))),
      ),
      weight: 2 * random.uniform() - 1,
    }));
    return new UnanimitySum(players, parts);
  }

  /** The game as a value function. */
  readonly value = (batch: CoalitionBatch, _signal?: AbortSignal): Float64Array => {
    const values = new Float64Array(batch.length);
    for (let i = 0; i < values.length; i++) {
      for (const part of this.parts)
        if (part.players.every((player) => batch.has(i, player))) values[i] += part.weight;
    }
    return values;
  };

  /** The table of all values; for at most 30 players. */
  toTable(): ValueTable {
    if (this.players > maxTablePlayers)
      throw invalidArgument('players', `at most ${maxTablePlayers} players for a table`, this.players);
    const masks = Uint32Array.from({ length: 2 ** this.players }, (_, mask) => mask);
    return ValueTable.from(this.value(new CoalitionBatch(this.players, masks)));
  }

  /** Shapley interaction index of a coalition. */
  shapleyInteraction(coalition: readonly number[]): number {
    return this.#sum(coalition, (t) => 1 / (t - coalition.length + 1));
  }

  /** Banzhaf interaction index of a coalition. */
  banzhafInteraction(coalition: readonly number[]): number {
    return this.#sum(coalition, (t) => 2 ** (coalition.length - t));
  }

  /** Dividend of a coalition. */
  dividend(coalition: readonly number[]): number {
    return this.#sum(coalition, (t) => (t === coalition.length ? 1 : 0));
  }

  #sum(coalition: readonly number[], weight: (size: number) => number): number {
    let sum = 0;
    for (const part of this.parts) {
      if (coalition.every((player) => part.players.includes(player)))
        sum += part.weight * weight(part.players.length);
    }
    return sum;
  }
}
