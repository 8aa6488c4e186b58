import ndarray from 'ndarray';
import { checkInteger, checkOneOf } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import type { Device } from './device.js';
import type { Interaction } from './interaction.js';
import { InteractionSet } from './interaction-set.js';
import {
  checkJson,
  type InteractionsJson,
  jsonKey,
  namesIn,
  pairsIn,
  parseJsonKey,
  provenanceIn,
  standardErrorsIn,
} from './json.js';
import { type Player, type PlayerList, Players } from './players.js';
import type { Provenance } from './provenance.js';
import { interactionTable, resultText } from './text.js';

/** Interactions that a result shows of itself. */
const SHOWN = 10;

interface Contents {
  readonly index: string;
  readonly players: Players;
  readonly set: InteractionSet;
  readonly values: Float64Array;
  readonly standardErrors?: Float64Array | null;
  readonly baseline: number;
  readonly provenance?: Provenance | null;
  readonly device?: Device | null;
}

/** Interaction values of one game: immutable, looked up by players, never silently missing an entry. */
export class Interactions {
  /** Name of the index, for example 'SII'. */
  readonly index: string;
  readonly players: Players;
  /** Which interactions there are, and in which order `values` holds them. */
  readonly set: InteractionSet;
  /** One value per interaction of `set`. */
  readonly values: Float64Array;
  /** One standard error per interaction, or null for exact values. */
  readonly standardErrors: Float64Array | null;
  /** v(empty set). */
  readonly baseline: number;
  /** Null for exact values. */
  readonly provenance: Provenance | null;
  /** What computed the values; null when that is not known (values read from a file). */
  readonly device: Device | null;

  /** @throws FsynError INVALID_ARGUMENT when the game's values are so large that sums of them overflowed */
  constructor(contents: Contents) {
    const bad = contents.values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw new FsynError(
        'INVALID_ARGUMENT',
        `The values of the game are so large that sums of them overflow: ${contents.index} number ${bad} is ${contents.values[bad]}.`,
      );
    this.index = contents.index;
    this.players = contents.players;
    this.set = contents.set;
    this.values = contents.values;
    this.standardErrors = contents.standardErrors ?? null;
    this.baseline = contents.baseline;
    this.provenance = contents.provenance ?? null;
    this.device = contents.device ?? null;
  }

  /** True when the values are estimates. */
  get estimated(): boolean {
    return this.provenance !== null;
  }

  get order(): number {
    return this.set.maxOrder;
  }

  /**
   * Value of the interaction of these players, in any order; no player means the empty set.
   *
   * @throws FsynError INVALID_ARGUMENT for unknown players and for interactions that were not computed
   */
  get(...players: Player[]): number {
    return this.values[this.#position(players)];
  }

  /** Standard error of the interaction of these players; undefined for exact values. */
  standardError(...players: Player[]): number | undefined {
    const position = this.#position(players);
    return this.standardErrors?.[position];
  }

  /** True when the interaction of these players was computed. */
  has(...players: Player[]): boolean {
    return this.set.position(this.players.sorted(players, 'players')) >= 0;
  }

  /** Interaction number i of the result's order. */
  at(i: number): Interaction {
    checkInteger('i', i, 0, this.set.length - 1);
    const players = Array.from(this.set.at(i));
    return {
      players,
      names: this.players.names ? players.map((player) => this.players.label(player)) : null,
      value: this.values[i],
      ...(this.standardErrors ? { standardError: this.standardErrors[i] } : {}),
    };
  }

  *[Symbol.iterator](): Generator<Interaction> {
    for (let i = 0; i < this.set.length; i++) yield this.at(i);
  }

  /**
   * The `count` strongest interactions, ties to the earlier one; the empty set is left out.
   *
   * @param options.by 'absolute' (default), 'largest' or 'smallest' value
   * @param options.order only interactions of this order; null (default) for all
   */
  top(
    count: number,
    options: { by?: 'absolute' | 'largest' | 'smallest'; order?: number | null } = {},
  ): Interaction[] {
    const { by, order } = resolveOptions<Required<typeof options>>(
      'top',
      { by: 'absolute', order: null },
      options,
    );
    checkOneOf('by', by, ['absolute', 'largest', 'smallest']);
    this.#checkOrder(order);
    checkInteger('count', count, 0);
    const strength = (i: number): number => {
      const value = this.values[i];
      if (by === 'absolute') return Math.abs(value);
      return by === 'largest' ? value : -value;
    };
    return Array.from({ length: this.set.length }, (_, i) => i)
      .filter((i) => (order === null ? this.set.order(i) > 0 : this.set.order(i) === order))
      .sort((a, b) => strength(b) - strength(a) || a - b)
      .slice(0, count)
      .map((i) => this.at(i));
  }

  /**
   * The strongest interactions as a text table: players, value and, of estimates, standard error; options as
   * of `top`.
   */
  table(count = 20, options: Parameters<Interactions['top']>[1] = {}): string {
    return interactionTable(this.top(count, options));
  }

  /** What was computed, and the ten strongest interactions: what `String(result)` and `console.log` show. */
  toString(): string {
    return resultText(this, this.top(SHOWN));
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  /** Sum of the values of one order, or of all of them. */
  sum(order: number | null = null): number {
    this.#checkOrder(order);
    const [begin, end] = order === null ? [0, this.set.length] : this.set.range(order);
    let sum = 0;
    for (let i = begin; i < end; i++) sum += this.values[i];
    return sum;
  }

  /** Values of single players: shape [players]. */
  singles(): ndarray.NdArray<Float64Array> {
    const [begin, end] = this.set.range(1);
    if (end - begin !== this.players.count) throw this.#missing('single players');
    return ndarray(this.values.slice(begin, end), [this.players.count]);
  }

  /**
   * Values of pairs: shape [players, players], symmetric, zero on the diagonal and where the result has no
   * such pair.
   */
  pairs(): ndarray.NdArray<Float64Array> {
    const n = this.players.count;
    const [begin, end] = this.set.range(2);
    if (begin === end) throw this.#missing('pairs');
    const matrix = new Float64Array(n * n);
    for (let i = begin; i < end; i++) {
      const [a, b] = this.set.at(i);
      matrix[a * n + b] = this.values[i];
      matrix[b * n + a] = this.values[i];
    }
    return ndarray(matrix, [n, n]);
  }

  /** Values of pairs of an image and a text player: shape [image.length, text.length]. */
  block(image: PlayerList, text: PlayerList): ndarray.NdArray<Float64Array> {
    const [rows, columns] = [this.players.indices(image, 'image'), this.players.indices(text, 'text')];
    const values = rows.flatMap((a) => columns.map((b) => this.get(a, b)));
    return ndarray(Float64Array.from(values), [rows.length, columns.length]);
  }

  /** The form that shapiq reads, with the standard errors and the provenance added to its metadata. */
  toJSON(): InteractionsJson {
    const data: Record<string, number> = {};
    for (let i = 0; i < this.set.length; i++) data[jsonKey(this.set.at(i))] = this.values[i];
    return {
      metadata: {
        n_players: this.players.count,
        index: this.index,
        max_order: this.set.maxOrder,
        min_order: this.set.minOrder,
        estimated: this.estimated,
        estimation_budget: this.provenance?.budget ?? null,
        baseline_value: this.baseline,
        player_names: this.players.names,
        pairs: this.set.sides ? { image: sideOf(this.set.sides, 1), text: sideOf(this.set.sides, 2) } : null,
        provenance: this.provenance,
        device: this.device,
        // JSON knows no infinity: what has no error of its own is null.
        standard_errors: this.standardErrors
          ? Array.from(this.standardErrors, (error) => (Number.isFinite(error) ? error : null))
          : null,
      },
      data,
    };
  }

  /**
   * Reads toJSON's form or a file of shapiq. Interactions that the file leaves out are 0, as they are there.
   *
   * @throws FsynError INVALID_ARGUMENT when the JSON is of another form
   */
  static fromJSON(json: unknown): Interactions {
    const { metadata, data } = checkJson(json);
    const players = new Players(namesIn(metadata) ?? metadata.n_players);
    const sides = players.sides(pairsIn(metadata));
    const set = new InteractionSet(players.count, metadata.min_order, metadata.max_order, sides);
    const values = new Float64Array(set.length);
    for (const [key, value] of Object.entries(data)) {
      const position = set.position(parseJsonKey(key, players.count));
      if (position < 0 || !Number.isFinite(value))
        throw invalidArgument(`data[${key}]`, 'a finite value of an order in range', value);
      values[position] = value;
    }
    return new Interactions({
      index: metadata.index,
      players,
      set,
      values,
      standardErrors: standardErrorsIn(metadata, set.length),
      baseline: metadata.baseline_value,
      provenance: metadata.estimated ? provenanceIn(metadata) : null,
    });
  }

  #position(given: readonly Player[]): number {
    const players = this.players.sorted(given, 'players');
    const position = this.set.position(players);
    if (position < 0) {
      const labels = players.map((player) => this.players.label(player)).join(', ');
      throw new FsynError(
        'INVALID_ARGUMENT',
        `The interaction of {${labels}} was not computed: this ${this.index} covers orders ${this.set.minOrder}..${this.set.maxOrder}${this.set.sides ? ' across modalities' : ''}.`,
      );
    }
    return position;
  }

  #checkOrder(order: number | null): void {
    const { minOrder, maxOrder } = this.set;
    if (order !== null) checkInteger('order', order, minOrder, maxOrder);
  }

  #missing(what: string): FsynError {
    return new FsynError('INVALID_ARGUMENT', `This ${this.index} has no values of all ${what}.`);
  }
}

function sideOf(sides: Uint8Array, side: number): number[] {
  return Array.from(sides.keys()).filter((player) => sides[player] === side);
}
