import { checkInteger } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';

/** A player by index (0..n-1) or, when the game has names, by name. */
export type Player = number | string;

/** Several players; typed arrays hold indices. */
export type PlayerList = readonly Player[] | Int32Array | Uint32Array | Uint16Array | Uint8Array;

/**
 * The players of the two modalities: restricts a computation to interactions that have members of both and no
 * others.
 */
export interface CrossPairs {
  readonly image: PlayerList;
  readonly text: PlayerList;
}

/** The players of a game: how many, and their names if they have any. */
export class Players {
  readonly count: number;
  readonly names: readonly string[] | null;
  readonly #index: ReadonlyMap<string, number>;

  /** @param players number of players (>= 1), or their names, each used once */
  constructor(players: number | readonly string[]) {
    const index = new Map<string, number>();
    this.#index = index;
    if (typeof players === 'number') {
      checkInteger('players', players, 1);
      this.count = players;
      this.names = null;
      return;
    }
    if (!Array.isArray(players) || players.length === 0) {
      throw invalidArgument('players', 'a number of players or a non-empty array of names', players);
    }
    for (const [i, name] of players.entries()) {
      if (typeof name !== 'string') throw invalidArgument(`players[${i}]`, 'a name', name);
      if (index.has(name)) throw invalidArgument(`players[${i}]`, 'a name that is used once', name);
      index.set(name, i);
    }
    this.count = players.length;
    this.names = [...players];
  }

  /** Index of a player given by index or name. */
  index(player: Player): number {
    if (typeof player === 'string') {
      const index = this.#index.get(player);
      if (index === undefined)
        throw invalidArgument('player', this.names ? 'a known name' : 'an index', player);
      return index;
    }
    checkInteger('player', player, 0, this.count - 1);
    return player;
  }

  /** Indices of players, in their order. */
  indices(players: PlayerList, parameter: string): number[] {
    if (!Array.isArray(players) && !(ArrayBuffer.isView(players) && 'length' in players))
      throw invalidArgument(parameter, 'an array of players', players);
    return Array.from(players as ArrayLike<Player>, (player) => this.index(player));
  }

  /** Ascending indices of distinct players. */
  sorted(players: PlayerList, parameter: string): number[] {
    const indices = this.indices(players, parameter).sort((a, b) => a - b);
    for (let i = 1; i < indices.length; i++) {
      if (indices[i] === indices[i - 1]) {
        throw new FsynError('INVALID_ARGUMENT', `Player ${this.label(indices[i])} is twice in ${parameter}.`);
      }
    }
    return indices;
  }

  label(index: number): string {
    return this.names ? this.names[index] : String(index);
  }

  /** Side of every player (1 image, 2 text, 0 neither), or null without a restriction. */
  sides(pairs: CrossPairs | null): Uint8Array | null {
    if (pairs === null) return null;
    if (typeof pairs !== 'object' || !('image' in pairs) || !('text' in pairs)) {
      throw invalidArgument('pairs', 'an object { image, text } of players', pairs);
    }
    const sides = new Uint8Array(this.count);
    for (const [side, modality] of [
      [1, 'image'],
      [2, 'text'],
    ] as const) {
      const indices = this.sorted(pairs[modality], `pairs.${modality}`);
      if (indices.length === 0) throw invalidArgument(`pairs.${modality}`, 'at least one player', []);
      for (const index of indices) {
        if (sides[index] !== 0) {
          throw new FsynError(
            'INVALID_ARGUMENT',
            `Player ${this.label(index)} is in both pairs.image and pairs.text; a player has one modality.`,
          );
        }
        sides[index] = side;
      }
    }
    return sides;
  }
}
