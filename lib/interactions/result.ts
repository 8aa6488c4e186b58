import ndarray from 'ndarray';
import { FsynError, invalidArgument } from '../errors.js';
import type { Device } from './device.js';
import { InteractionSet } from './interaction-set.js';
import { type Player, Players } from './players.js';

/** What an estimate cost. */
export interface Spending {
  /** Values asked from the value function, repeats included. */
  readonly evaluations: number;
  /** Distinct coalitions among them: what a caching evaluator pays for. */
  readonly distinctCoalitions: number;
  /** Distinct image states among them; null when the players have no modalities. */
  readonly imageStates: number | null;
}

/** How values were estimated. */
export interface Provenance {
  readonly estimator: string;
  /** Why this estimator, where the caller named none. */
  readonly reason?: string;
  readonly seed: number;
  readonly budget: number;
  readonly spent: Spending;
  /** Share of the variance of held-out coalitions that the model explains; 'sparse' only. */
  readonly explained?: number;
  /**
   * Share of the index's weight on strata that no draw fell into and that therefore count as v(empty), the largest of all
   * interactions, 0..1; 'svarm-iq' only. 0: the estimate is unbiased. Otherwise the weighted means of those strata are
   * missing from it, which the standard errors allow for.
   */
  readonly emptyStrata?: number;
}

/** One interaction of a result. */
export interface Interaction {
  /** Ascending player indices. */
  readonly players: readonly number[];
  /** The same as names, when the game has names. */
  readonly names: readonly string[] | null;
  readonly value: number;
  /** NaN for exact values. */
  readonly standardError: number;
}

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

/** The JSON form, readable by the Python library shapiq and back. */
export interface InteractionsJson {
  readonly metadata: {
    readonly n_players: number;
    readonly index: string;
    readonly max_order: number;
    readonly min_order: number;
    readonly estimated: boolean;
    readonly estimation_budget: number | null;
    readonly baseline_value: number;
    readonly [key: string]: unknown;
  };
  readonly data: Readonly<Record<string, number>>;
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

  constructor(contents: Contents) {
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

  /** Standard error of the interaction of these players; NaN for exact values. */
  standardError(...players: Player[]): number {
    const position = this.#position(players);
    return this.standardErrors ? this.standardErrors[position] : Number.NaN;
  }

  /** True when the interaction of these players was computed. */
  has(...players: Player[]): boolean {
    return this.set.position(this.players.sorted(players, 'players')) >= 0;
  }

  /** Interaction number i of the result's order. */
  at(i: number): Interaction {
    if (!Number.isInteger(i) || i < 0 || i >= this.set.length) {
      throw invalidArgument('i', `an integer in 0..${this.set.length - 1}`, i);
    }
    const players = Array.from(this.set.at(i));
    return {
      players,
      names: this.players.names ? players.map((player) => this.players.label(player)) : null,
      value: this.values[i],
      standardError: this.standardErrors ? this.standardErrors[i] : Number.NaN,
    };
  }

  *[Symbol.iterator](): Generator<Interaction> {
    for (let i = 0; i < this.set.length; i++) yield this.at(i);
  }

  /**
   * The `count` strongest interactions, ties to the earlier one; the empty set is left out.
   *
   * @param by 'absolute' (default), 'largest' or 'smallest' value
   * @param order only interactions of this order; null (default) for all
   */
  top(
    count: number,
    {
      by = 'absolute',
      order = null,
    }: { by?: 'absolute' | 'largest' | 'smallest'; order?: number | null } = {},
  ): Interaction[] {
    if (!Number.isInteger(count) || count < 0) throw invalidArgument('count', 'an integer >= 0', count);
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

  /** Sum of the values of one order, or of all of them. */
  sum(order: number | null = null): number {
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

  /** Values of pairs: shape [players, players], symmetric, zero on the diagonal and where the result has no such pair. */
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
  block(image: readonly Player[], text: readonly Player[]): ndarray.NdArray<Float64Array> {
    const values = new Float64Array(image.length * text.length);
    for (const [i, a] of image.entries()) {
      for (const [j, b] of text.entries()) values[i * text.length + j] = this.get(a, b);
    }
    return ndarray(values, [image.length, text.length]);
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
        provenance: this.provenance,
        device: this.device,
        standard_errors: this.standardErrors ? Array.from(this.standardErrors) : null,
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
    const set = new InteractionSet(players.count, metadata.min_order, metadata.max_order);
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

  #missing(what: string): FsynError {
    return new FsynError('INVALID_ARGUMENT', `This ${this.index} has no values of all ${what}.`);
  }
}

/** Key of a coalition in the peer's files: "Empty", "0", "0,3". */
export function jsonKey(coalition: ArrayLike<number>): string {
  return coalition.length === 0 ? 'Empty' : Array.from(coalition).join(',');
}

/** Ascending players of a key of the peer's files. */
export function parseJsonKey(key: string, players: number): number[] {
  if (key === 'Empty' || key === '') return [];
  const coalition = key.split(',').map((part) => Number(part));
  const valid = coalition.every(
    (player, i) =>
      Number.isInteger(player) && player >= 0 && player < players && (i === 0 || player > coalition[i - 1]),
  );
  if (!valid) throw invalidArgument('data', `keys of ascending players below ${players}`, key);
  return coalition;
}

function checkJson(json: unknown): InteractionsJson {
  const form = json as InteractionsJson | null;
  const metadata = form?.metadata;
  const sound =
    typeof form?.data === 'object' &&
    form.data !== null &&
    typeof metadata?.index === 'string' &&
    [metadata.n_players, metadata.max_order, metadata.min_order].every(Number.isInteger) &&
    typeof metadata.baseline_value === 'number';
  if (!sound)
    throw invalidArgument(
      'json',
      'interaction values { metadata: { n_players, index, max_order, min_order, baseline_value }, data }',
      json,
    );
  return form;
}

function namesIn(metadata: InteractionsJson['metadata']): readonly string[] | null {
  const names = metadata.player_names;
  return Array.isArray(names) && names.length === metadata.n_players ? (names as string[]) : null;
}

function provenanceIn(metadata: InteractionsJson['metadata']): Provenance {
  const own = metadata.provenance as Provenance | null | undefined;
  if (own) return own;
  const budget = metadata.estimation_budget ?? Number.NaN;
  const spent = { evaluations: budget, distinctCoalitions: budget, imageStates: null };
  return { estimator: 'unknown', seed: Number.NaN, budget, spent };
}
