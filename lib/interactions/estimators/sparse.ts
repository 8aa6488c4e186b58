import { addon } from '../../addon/addon.js';
import { runJob } from '../../addon/job.js';
import { FsynError } from '../../errors.js';
import { Random } from '../../statistics/random.js';
import type { InteractionSet } from '../interaction-set.js';
import type { LinearFit } from '../native.js';
import { binomial, type DividendIndex, dividendWeights } from '../weights.js';
import { paritiesOf } from './catalogue.js';
import type { Estimate } from './moments.js';
import { LEAST_SPARSE } from './requirements.js';
import { type CoalitionSample, presence } from './sample.js';
import { Turns } from './turns.js';

/** The coalitions are held out in turn, in this many groups. */
const FOLDS = 5;
/** Coalitions per kept parity, at least. */
const ROWS_PER_PARITY = 2;
/** Parities that join per round, as a share of those that the model has. */
const GROWTH = 1 / 4;
/** The search ends when the model has grown this much without predicting better. */
const PATIENCE = 1.5;
/** How much stronger a parity must be for every further player: there are that many more that may look strong by chance. */
const PRIOR = 0.8;

/** Models of noise explain a percent or two of what was held out, by chance. */
const LEAST_EXPLAINED = 0.05;

/** A Fourier coefficient's parity: (-1)^|S and T| for coalitions T. */
type Parity = readonly number[];

/** The models predict coalitions that were held out hardly better than their mean. */
export class ModelsExplainNothing extends FsynError {
  constructor(coalitions: number) {
    super(
      'BUDGET',
      `Sparse models of ${coalitions} coalitions predict held-out ones hardly better than their mean.`,
    );
  }
}

interface Model {
  readonly parities: readonly Parity[];
  readonly fit: LinearFit;
}

/**
 * Sparse Fourier models of the game, and their exact index (in the spirit of SPEX and ProxySPEX: Kang et al. 2025, Butler et
 * al. 2025; there with coded queries and boosted trees). The parities that correlate most with what the model leaves over
 * join it, each time refitted by least squares (stagewise orthogonal matching pursuit, Donoho et al. 2012), until coalitions
 * that were held out are predicted no better. Every fifth of the coalitions is held out once; the estimate is the mean of the
 * five models.
 *
 * `sample` should weigh sizes as the index does: what the models miss is then small where it counts. Standard errors are those
 * of the delete-a-group jackknife, so that they tell how much the choice of parities depends on the draw, and of a parity that
 * hides in the errors of prediction; what parities of more players would add is not in them.
 *
 * @throws ModelsExplainNothing BUDGET when the models explain nothing of the held-out coalitions: the game is not sparse enough
 */
export async function sparseFourier(
  sample: CoalitionSample,
  y: Float64Array,
  set: InteractionSet,
  index: DividendIndex,
  p: number,
  seed: number,
  signal: AbortSignal | undefined,
): Promise<Estimate & { readonly explained: number }> {
  const rows = y.length;
  if (rows < LEAST_SPARSE) {
    throw new FsynError(
      'BUDGET',
      `A sparse model needs at least ${LEAST_SPARSE} coalitions but has ${rows}.`,
    );
  }
  const order = Array.from(new Random(seed + 1).permutation(rows));
  const search = new Search(sample, y, signal);
  const weights = dividendWeights(index, set.players, 1, set.maxOrder, p);
  const estimates: Float64Array[] = [];
  let [missed, spread] = [0, 0];
  for (let fold = 0; fold < FOLDS; fold++) {
    const inFold = (_: number, i: number) => i % FOLDS === fold;
    const heldOut = order.filter(inFold);
    const training = order.filter((row, i) => !inFold(row, i));
    const { model, error, constant } = await search.run(training, heldOut);
    missed += error;
    spread += constant;
    estimates.push(indexOf(model, set, weights));
  }
  const explained = spread > 0 ? 1 - missed / spread : 1;
  if (!(explained >= LEAST_EXPLAINED)) {
    throw new ModelsExplainNothing(rows);
  }
  const values = new Float64Array(set.length);
  for (const one of estimates) for (let i = 0; i < values.length; i++) values[i] += one[i] / FOLDS;
  const standardErrors = values.map((mean, i) => {
    let squares = 0;
    for (const one of estimates) squares += (one[i] - mean) ** 2;
    // A parity that no model has may still have what it takes to hide in the errors of prediction.
    const hidden = (4 ** set.order(i) * missed) / rows ** 2;
    return Math.sqrt(((FOLDS - 1) / FOLDS) * squares + hidden);
  });
  return { values, standardErrors, explained };
}

class Search {
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

  /** The model of the training rows that predicts the held-out ones best, its error there and that of the mean. */
  async run(
    training: readonly number[],
    heldOut: readonly number[],
  ): Promise<{ model: Model; error: number; constant: number }> {
    let model: Model = { parities: [[]], fit: await this.#fit([[]], training) };
    const constant = this.#error(model, heldOut);
    let best = { model, error: constant, constant };
    const scale = length(model.fit.residuals);
    const most = Math.floor(training.length / ROWS_PER_PARITY);
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
  #error({ parities, fit }: Model, rows: readonly number[]): number {
    let sum = 0;
    for (const row of rows) {
      let predicted = 0;
      for (let i = 0; i < parities.length; i++) {
        let sign = 1;
        for (const player of parities[i]) sign *= this.#signs[player][row];
        predicted += sign * fit.solution[i];
      }
      sum += (this.#y[row] - predicted) ** 2;
    }
    return sum;
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

/** The index of the model: parity S has the dividends (-2)^|T| on T within S. weights: see dividendWeights. */
function indexOf({ parities, fit }: Model, set: InteractionSet, weights: Float64Array): Float64Array {
  const width = set.players + 1;
  const values = new Float64Array(set.length);
  for (const [i, parity] of parities.entries()) {
    for (let code = 1; code < 2 ** parity.length; code++) {
      const members = parity.filter((_, m) => (code >> m) & 1);
      if (members.length > set.maxOrder) continue;
      const position = set.position(members);
      if (position < 0) continue;
      // Supersets of the members within the parity, by size.
      const rest = parity.length - members.length;
      let factor = 0;
      for (let more = 0; more <= rest; more++) {
        const size = members.length + more;
        factor += binomial(rest, more) * (-2) ** size * weights[(members.length - 1) * width + size];
      }
      values[position] += factor * fit.solution[i];
    }
  }
  return values;
}
