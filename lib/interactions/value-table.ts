import ndarray from 'ndarray';
import { addon } from '../addon/addon.js';
import { checkFixedLength, checkInteger, checkOneOf } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import {
  CoalitionBatch,
  checkEvaluation,
  type EvaluationOptions,
  evaluateBatch,
  type ValueFunction,
} from './coalitions.js';
import { jsonKey, parseJsonKey } from './json.js';
import type { TableValues } from './native.js';
import { type PlayerList, Players } from './players.js';

/** Largest number of players of a value table. */
export const maxTablePlayers = 30;

/** `batchSize`: coalitions per call of the value function (1024). */
export type EvaluateTableOptions = EvaluationOptions;

/** The JSON form of a game, readable by the Python library shapiq and back. */
export interface ValueTableJson {
  readonly metadata: {
    readonly n_players: number;
    readonly game_name?: string;
    readonly normalization_value?: number;
    readonly precompute_flag?: boolean;
    readonly precomputed?: boolean;
    readonly player_names?: readonly string[] | null;
    readonly [key: string]: unknown;
  };
  readonly data: Readonly<Record<string, number>>;
}

/**
 * A game as the table of all its values: entry S is v(S), bit i of S is player i. n players need 2^n values,
 * n <= 30.
 *
 * @example
 * const game = ValueTable.from(new Float64Array([0, 1, 1, 4]), { players: ['a', 'b'] });
 * interactionsSync(game, { index: 'SII', order: 2 }).get('a', 'b'); // 2
 */
export class ValueTable {
  /** Length 2^players.count; shared with the caller, not copied. */
  readonly values: TableValues;
  readonly players: Players;

  /** Refuses what is not a value table, for callers without types. */
  static check(game: unknown): asserts game is ValueTable {
    if (!(game instanceof ValueTable))
      throw invalidArgument('game', 'a ValueTable (ValueTable.from makes one of 2^players values)', game);
  }

  private constructor(values: TableValues, players: Players) {
    this.values = values;
    this.players = players;
  }

  /**
   * Wraps the values of all coalitions.
   *
   * @param values Float64Array or Float32Array (used in place), an ndarray over one (any shape with 2^n
   *   elements in row-major order, used in place), or an array of numbers (copied)
   * @param options.players names; default none
   * @throws FsynError INVALID_ARGUMENT when the length is not 2^n with n in 1..30, a value is not finite, or
   *   the memory can be resized
   */
  static from(
    values: TableValues | ndarray.NdArray<TableValues> | readonly number[],
    options: { players?: readonly string[] | null } = {},
  ): ValueTable {
    const { players } = resolveOptions<Required<typeof options>>(
      'ValueTable.from',
      { players: null },
      options,
    );
    const table = toTyped(values);
    checkFixedLength('values', table);
    const n = Math.log2(table.length);
    if (!Number.isInteger(n) || n < 1 || n > maxTablePlayers) {
      throw invalidArgument(
        'values',
        `2^players values with players from 1 to ${maxTablePlayers}`,
        table.length,
      );
    }
    const bad = addon().firstNotFinite(table);
    if (bad >= 0) throw invalidArgument(`values[${bad}]`, 'a finite number', table[bad]);
    const named = new Players(players ?? n);
    if (named.count !== n) throw invalidArgument('players', `${n} names, one per player`, named.count);
    return new ValueTable(table, named);
  }

  /**
   * A table of zeros to be filled through `values`, in native memory: computations on other threads read it
   * where it is, while they take a copy of any other table.
   *
   * @param players number of players or their names
   * @throws FsynError INVALID_ARGUMENT, OUT_OF_MEMORY when the table would make the machine swap
   */
  static allocate(
    players: number | readonly string[],
    options: { type?: 'float64' | 'float32' } = {},
  ): ValueTable {
    const { type } = resolveOptions<Required<typeof options>>(
      'ValueTable.allocate',
      { type: 'float64' },
      options,
    );
    checkOneOf('type', type, ['float64', 'float32']);
    const named = new Players(players);
    if (named.count > maxTablePlayers)
      throw invalidArgument('players', `at most ${maxTablePlayers} players`, named.count);
    return new ValueTable(addon().allocateValues(2 ** named.count, type === 'float64'), named);
  }

  /** @internal this table, or a copy, in memory that jobs can share */
  held(): ValueTable {
    return new ValueTable(addon().holdValues(this.values), this.players);
  }

  /**
   * Asks a value function for all 2^n coalitions, in batches and in order of their bit masks.
   *
   * @param players number of players (1..20 is sensible) or their names
   * @throws FsynError INVALID_ARGUMENT when it returns the wrong number of values or one that is not finite
   */
  static async evaluate(
    players: number | readonly string[],
    value: ValueFunction,
    options: Partial<EvaluateTableOptions> = {},
  ): Promise<ValueTable> {
    const { batchSize, signal, onProgress } = resolveOptions(
      'ValueTable.evaluate',
      { batchSize: 1024, signal: undefined, onProgress: undefined } as EvaluateTableOptions,
      options,
    );
    checkEvaluation(value, { batchSize, signal, onProgress });
    const game = ValueTable.allocate(players);
    const { players: named, values: table } = game;
    for (let begin = 0; begin < table.length; begin += batchSize) {
      const masks = Uint32Array.from(
        { length: Math.min(batchSize, table.length - begin) },
        (_, i) => begin + i,
      );
      table.set(await evaluateBatch(value, new CoalitionBatch(named.count, masks), signal), begin);
      onProgress?.(begin + masks.length, table.length);
    }
    return game;
  }

  /** v of a coalition, given by its players or as a bit mask. */
  value(coalition: number | PlayerList): number {
    const mask = typeof coalition === 'number' ? coalition : this.mask(coalition);
    checkInteger('coalition', mask, 0, this.values.length - 1);
    return this.values[mask];
  }

  /** Bit mask of a coalition of players. */
  mask(players: PlayerList): number {
    let mask = 0;
    for (const player of this.players.sorted(players, 'coalition')) mask += 2 ** player;
    return mask;
  }

  /** The values as an ndarray of shape [2, ..., 2], last axis player 0; a view. */
  toNdarray(): ndarray.NdArray<TableValues> {
    return ndarray(this.values, new Array<number>(this.players.count).fill(2));
  }

  /** This game as a value function, for estimators. */
  toValueFunction(): ValueFunction {
    return (batch) => Float64Array.from({ length: batch.length }, (_, i) => this.values[batch.mask(i)]);
  }

  /** The form that shapiq reads: un-normalised values of all coalitions. */
  toJSON(): ValueTableJson {
    const data: Record<string, number> = {};
    const coalition: number[] = [];
    for (let mask = 0; mask < this.values.length; mask++) {
      coalition.length = 0;
      for (let player = 0; player < this.players.count; player++)
        if ((mask >>> player) & 1) coalition.push(player);
      data[jsonKey(coalition)] = this.values[mask];
    }
    return {
      metadata: {
        n_players: this.players.count,
        game_name: 'ValueTable',
        normalization_value: this.values[0],
        precompute_flag: true,
        precomputed: true,
        player_names: this.players.names,
      },
      data,
    };
  }

  /**
   * Reads toJSON's form or a game file of shapiq.
   *
   * @throws FsynError INVALID_ARGUMENT when the form is another or a coalition is missing
   */
  static fromJSON(json: unknown): ValueTable {
    const form = json as ValueTableJson | null;
    const n = form?.metadata?.n_players;
    if (
      typeof form?.data !== 'object' ||
      form.data === null ||
      !Number.isInteger(n) ||
      n! < 1 ||
      n! > maxTablePlayers
    ) {
      throw invalidArgument(
        'json',
        'a game { metadata: { n_players }, data: { "Empty": v, "0": v, "0,1": v, ... } }',
        json,
      );
    }
    const names = form.metadata.player_names;
    const players = new Players(Array.isArray(names) && names.length === n ? (names as string[]) : n!);
    const table = new Float64Array(2 ** players.count).fill(Number.NaN);
    for (const [key, value] of Object.entries(form.data)) {
      let mask = 0;
      for (const player of parseJsonKey(key, players.count)) mask += 2 ** player;
      if (typeof value !== 'number' || !Number.isFinite(value))
        throw invalidArgument(`data[${JSON.stringify(key)}]`, 'a finite number', value);
      if (!Number.isNaN(table[mask]))
        throw invalidArgument(`data[${JSON.stringify(key)}]`, 'every coalition once', value);
      table[mask] = value;
    }
    const missing = addon().firstNotFinite(table);
    if (missing >= 0) {
      throw new FsynError(
        'INVALID_ARGUMENT',
        `The game file has no finite value for the coalition with bit mask ${missing}.`,
      );
    }
    return new ValueTable(table, players);
  }
}

function toTyped(values: unknown): TableValues {
  if (values instanceof Float64Array || values instanceof Float32Array) return values;
  if (Array.isArray(values)) {
    // Not converted: null would become 0. The caller reports what is not finite.
    return Float64Array.from(values, (value) => (typeof value === 'number' ? value : Number.NaN));
  }
  const view = values as ndarray.NdArray<TableValues> | null;
  if (view?.data instanceof Float64Array || view?.data instanceof Float32Array) {
    let expected = 1;
    for (let axis = view.shape.length - 1; axis >= 0; axis--) {
      if (view.stride[axis] !== expected)
        throw invalidArgument('values', 'a row-major ndarray without gaps', values);
      expected *= view.shape[axis];
    }
    return view.data.subarray(view.offset, view.offset + view.size);
  }
  throw invalidArgument('values', 'a Float64Array, Float32Array, ndarray or array of numbers', values);
}
