import { addon } from '../../addon/addon.js';
import { runJob } from '../../addon/job.js';
import { FsynError } from '../../errors.js';
import type { LinearFit } from '../native.js';
import { paritiesOf } from './catalogue.js';
import { type CoalitionSample, presence } from './sample.js';
import { Turns } from './turns.js';

/** Coalitions per kept parity, at least. */
const ROWS_PER_PARITY = 2;
/** Parities of a model, at most: least squares take their square. */
const LARGEST_MODEL = 1000;
/** Parities that join per round, as a share of those that the model has. */
const GROWTH = 1 / 4;
/** The search ends when the model has grown this much without predicting better. */
const PATIENCE = 1.5;
/**
 * How much stronger a parity must be for every further player: there are that many more that may look strong
 * by chance.
 */
const PRIOR = 0.8;

/** A Fourier coefficient's parity: (-1)^|S and T| for coalitions T. */
export type Parity = readonly number[];

/** A Fourier model: values are the sums of coefficients times parities. */
export interface Model {
  readonly parities: readonly Parity[];
  readonly fit: LinearFit;
}

/** A model and how it predicts what it has not seen. */
export interface Found {
  readonly model: Model;
  /** Sum of squared errors of the held-out rows, and that of their prediction by the mean of the others. */
  readonly error: number;
  readonly constant: number;
}

/** All parities of up to `largest` players, the empty one first. */
export function allParities(players: number, largest: number): Parity[] {
  const found: Parity[] = [[]];
  let last: Parity[] = [[]];
  for (let size = 1; size <= largest; size++) {
    last = last.flatMap((parity) => {
      const from = parity.length === 0 ? 0 : parity[parity.length - 1] + 1;
      return Array.from({ length: players - from }, (_, i) => [...parity, from + i]);
    });
    found.push(...last);
  }
  return found;
}

/**
 * Finds Fourier models of a game with few coefficients: the parities that correlate most with what the model
 * leaves over join it, each time refitted by least squares (stagewise orthogonal matching pursuit, Donoho et
 * al. 2012), until coalitions that were held out are predicted no better.
 */
export class Search {
  readonly #sample: CoalitionSample;
  readonly #y: Float64Array;
  readonly #signal: AbortSignal | undefined;
  /** [players][rows]: -1 for present players. */
  readonly #signs: readonly Int8Array[];
  readonly #largest: number;

  constructor(sample: CoalitionSample, y: Float64Array, signal: AbortSignal | undefined) {
    this.#sample = sample;
    this.#y = y;
    this.#signal = signal;
    this.#signs = presence(sample.coalitions).map((row) => Int8Array.from(row, (present) => 1 - 2 * present));
    this.#largest = paritiesOf(sample.coalitions.players).largest;
  }

  /**
   * The model of the training rows that predicts the held-out ones best, its error there and that of the
   * mean.
   *
   * @param start parities that every model has, the empty one first
   * @throws FsynError RANK_DEFICIENT when the rows cannot tell the parities of the start apart
   */
  async run(
    training: readonly number[],
    heldOut: readonly number[],
    start: readonly Parity[],
  ): Promise<Found> {
    const mean: Model = { parities: [[]], fit: await this.#fit([[]], training) };
    const constant = this.#error(mean, heldOut);
    const scale = length(mean.fit.residuals);
    let model: Model = start.length > 1 ? { parities: start, fit: await this.#fit(start, training) } : mean;
    let best = { model, error: this.#error(model, heldOut), constant };
    const most = Math.min(Math.floor(training.length / ROWS_PER_PARITY), LARGEST_MODEL);
    while (length(model.fit.residuals) > 1e-12 * scale) {
      const size = model.parities.length;
      const wanted = Math.min(Math.max(1, Math.floor(GROWTH * size)), most - size);
      if (wanted < 1 || size > PATIENCE * best.model.parities.length + 8) break;
      const found = await this.#strongest(training, model.fit.residuals, model.parities, wanted);
      if (found.length === 0) break;
      const parities = [...model.parities, ...found];
      try {
        model = { parities, fit: await this.#fit(parities, training) };
      } catch (error) {
        // Parities that these coalitions cannot tell apart: the search ends with what it has.
        if (error instanceof FsynError && error.code === 'RANK_DEFICIENT') break;
        throw error;
      }
      const error = this.#error(model, heldOut);
      if (error < best.error) best = { model, error, constant };
    }
    return best;
  }

  /** Least squares of the values of some rows on parities. */
  async #fit(parities: readonly Parity[], rows: readonly number[]): Promise<LinearFit> {
    const orders = this.#largest + 1;
    const shares = new Float64Array(orders * orders);
    for (let s = 0; s < orders; s++)
      for (let r = 0; r <= s; r++) shares[s * orders + r] = r % 2 === 0 ? 1 : -1;
    const offsets = new Int32Array(parities.length + 1);
    for (const [i, parity] of parities.entries()) offsets[i + 1] = offsets[i] + parity.length;
    const request = {
      players: this.#sample.coalitions.players,
      words: this.#sample.coalitions.pick(rows).words,
      scale: new Float64Array(rows.length).fill(1),
      right: Float64Array.from(rows, (row) => this.#y[row]),
      members: Int32Array.from(parities.flat()),
      offsets,
      shares,
      orders,
      constraint: new Float64Array(0),
      constraintValue: 0,
      random: Float64Array.from(rows, (row) => this.#sample.sampled[row]),
      threads: 0,
      kernels: '',
    };
    return runJob(() => addon().fitInteractions(request, null), this.#signal);
  }

  /** Sum of squared errors of predictions. */
  #error(model: Model, rows: readonly number[]): number {
    let sum = 0;
    for (const row of rows) sum += (this.#y[row] - this.predict(model, row)) ** 2;
    return sum;
  }

  /** Value that a model gives to a row. */
  predict({ parities, fit }: Model, row: number): number {
    let predicted = 0;
    for (let i = 0; i < parities.length; i++) {
      let sign = 1;
      for (const player of parities[i]) sign *= this.#signs[player][row];
      predicted += sign * fit.solution[i];
    }
    return predicted;
  }

  /** The `count` parities outside the model that correlate most with the residuals; ties go to the first. */
  async #strongest(
    rows: readonly number[],
    residuals: Float64Array,
    known: readonly Parity[],
    count: number,
  ): Promise<Parity[]> {
    const n = this.#signs.length;
    const signs = this.#signs.map((all) => Int8Array.from(rows, (row) => all[row]));
    const taken = new Set(known.map((parity) => parity.join()));
    const top: { parity: Parity; strength: number }[] = [];
    const offer = (parity: Parity, strength: number) => {
      if (strength === 0 || (top.length === count && strength <= top[count - 1].strength)) return;
      if (taken.has(parity.join())) return;
      let at = top.length;
      while (at > 0 && top[at - 1].strength < strength) at--;
      top.splice(at, 0, { parity, strength });
      if (top.length > count) top.pop();
    };
    const signed = Array.from({ length: this.#largest }, () => new Float64Array(rows.length));
    // `own` are the residuals times the parity of `prefix`.
    const extend = (prefix: Parity, own: Float64Array) => {
      for (let player = prefix.length === 0 ? 0 : prefix[prefix.length - 1] + 1; player < n; player++) {
        visit([...prefix, player], own, signs[player]);
      }
    };
    const visit = (parity: Parity, own: Float64Array, sign: Int8Array) => {
      let sum = 0;
      if (parity.length === this.#largest) {
        for (let i = 0; i < own.length; i++) sum += own[i] * sign[i];
        offer(parity, Math.abs(sum) * PRIOR ** parity.length);
        return;
      }
      const next = signed[parity.length];
      for (let i = 0; i < own.length; i++) {
        next[i] = own[i] * sign[i];
        sum += next[i];
      }
      offer(parity, Math.abs(sum) * PRIOR ** parity.length);
      extend(parity, next);
    };
    const turns = new Turns(this.#signal);
    for (let player = 0; player < n; player++) {
      visit([player], residuals, signs[player]);
      if (turns.over) await turns.next();
    }
    return top.map(({ parity }) => parity);
  }
}

function length(vector: Float64Array): number {
  let squares = 0;
  for (const x of vector) squares += x * x;
  return Math.sqrt(squares);
}
