import { addon } from '../../addon/addon.js';
import { runJob } from '../../addon/job.js';
import { InteractionSet } from '../interaction-set.js';
import type { LinearFit } from '../native.js';
import { bernoulli } from '../rational.js';
import { binomial } from '../weights.js';
import type { Estimate } from './moments.js';
import { type CoalitionSample, importanceWeights, presence } from './sample.js';

/** mu_l(t), the Shapley kernel of level l; 0 outside l..n-l. */
function kernelWeight(n: number, level: number, t: number): number {
  if (t < level || t > n - level) return 0;
  return 1 / ((n - 2 * level + 1) * binomial(n - 2 * level, t - level));
}

/**
 * lambda(s, r) = sum over l = 1..r of C(r, l) B_(s-l): what an interaction of size s adds to a coalition with
 * r of it.
 */
function bernoulliShare(s: number, r: number): number {
  let sum = 0;
  for (let l = 1; l <= r; l++) sum += binomial(r, l) * bernoulli(s - l).toNumber();
  return sum;
}

/** Share of the interaction in a coalition that holds `inside` of its `size` members. */
type Share = (size: number, inside: number) => number;

const allInside: Share = (size, inside) => (inside === size ? 1 : 0);

interface Problem {
  readonly sample: CoalitionSample;
  /** Rows that take part, by index into the sample. */
  readonly rows: readonly number[];
  readonly y: Float64Array;
  readonly weight: (row: number) => number;
  readonly columns: InteractionSet;
  readonly share: Share;
  /** Total that the shares at the full coalition must sum to, or null. */
  readonly total: number | null;
  readonly signal: AbortSignal | undefined;
}

async function fit(problem: Problem): Promise<LinearFit> {
  const { sample, rows, columns, share } = problem;
  const scale = Float64Array.from(rows, (row) => Math.sqrt(problem.weight(row)));
  const orders = columns.maxOrder + 1;
  const shares = new Float64Array(orders * orders);
  for (let s = 0; s < orders; s++) for (let r = 0; r <= s; r++) shares[s * orders + r] = share(s, r);
  const constraint =
    problem.total === null
      ? new Float64Array(0)
      : Float64Array.from({ length: columns.length }, (_, c) => shares[columns.order(c) * (orders + 1)]);
  const request = {
    players: columns.players,
    words: sample.coalitions.pick(rows).words,
    scale,
    right: Float64Array.from(rows, (row, i) => scale[i] * problem.y[row]),
    members: columns.members,
    offsets: columns.offsets,
    shares,
    orders,
    constraint,
    constraintValue: problem.total ?? 0,
    random: Float64Array.from(rows, (row) => sample.sampled[row]),
    threads: 0,
    kernels: '',
  };
  return runJob(() => addon().fitInteractions(request, null), problem.signal);
}

function interior(sample: CoalitionSample): number[] {
  const n = sample.coalitions.players;
  return Array.from(sample.sizes.keys()).filter((i) => sample.sizes[i] > 0 && sample.sizes[i] < n);
}

function fullValue(sample: CoalitionSample, y: Float64Array): number {
  return y[sample.sizes.indexOf(sample.coalitions.players)];
}

/**
 * FSII by weighted least squares with the Shapley kernel, exact at the empty and the full coalition (Tsai,
 * Yeh & Ravikumar 2023); order 1 is KernelSHAP (Lundberg & Lee 2017). `y` are the values less v(empty).
 */
export async function faithfulShapley(
  sample: CoalitionSample,
  y: Float64Array,
  order: number,
  signal: AbortSignal | undefined,
): Promise<Estimate> {
  return shapleyRegression(
    sample,
    y,
    new InteractionSet(sample.coalitions.players, 1, order),
    allInside,
    signal,
  );
}

/** kADD-SHAP (Pelegrina, Duarte & Grabisch 2023); the peer offers the same as inconsistent KernelSHAP-IQ. */
export async function additiveShapley(
  sample: CoalitionSample,
  y: Float64Array,
  order: number,
  signal: AbortSignal | undefined,
): Promise<Estimate> {
  return shapleyRegression(
    sample,
    y,
    new InteractionSet(sample.coalitions.players, 1, order),
    bernoulliShare,
    signal,
  );
}

async function shapleyRegression(
  sample: CoalitionSample,
  y: Float64Array,
  columns: InteractionSet,
  share: Share,
  signal: AbortSignal | undefined,
): Promise<Estimate> {
  const n = sample.coalitions.players;
  const importance = importanceWeights(sample);
  const { solution, standardErrors } = await fit({
    sample,
    rows: interior(sample),
    y,
    weight: (row) => kernelWeight(n, 1, sample.sizes[row]) * importance[row],
    columns,
    share,
    total: fullValue(sample, y),
    signal,
  });
  return { values: solution, standardErrors };
}

/**
 * FBII by least squares over coalitions of equal importance, intercept included (Tsai, Yeh & Ravikumar 2023).
 */
export async function faithfulBanzhaf(
  sample: CoalitionSample,
  y: Float64Array,
  order: number,
  signal: AbortSignal | undefined,
): Promise<Estimate & { readonly intercept: number }> {
  const importance = importanceWeights(sample);
  const { solution, standardErrors } = await fit({
    sample,
    rows: Array.from(sample.sizes.keys()),
    y,
    weight: (row) => importance[row],
    columns: new InteractionSet(sample.coalitions.players, 0, order),
    share: allInside,
    total: null,
    signal,
  });
  return { values: solution.slice(1), standardErrors: standardErrors.slice(1), intercept: solution[0] };
}

/**
 * Weight that makes border coalitions of a level all but exact; larger ones would cost more digits than they
 * add.
 */
const BORDER = 1e8;

/**
 * KernelSHAP-IQ (Fumagalli et al. 2024, algorithm 1), consistent for SII: level l fits what the levels before
 * left over. Orders 1 and 2 are plain weighted fits; from order 3 on the sizes below l and above n - l enter
 * by their exact share.
 */
export async function kernelShapIq(
  sample: CoalitionSample,
  y: Float64Array,
  order: number,
  signal: AbortSignal | undefined,
): Promise<Estimate> {
  const n = sample.coalitions.players;
  const importance = importanceWeights(sample);
  const values: number[] = [];
  const standardErrors: number[] = [];
  let left = y;
  for (let level = 1; level <= order; level++) {
    const columns = new InteractionSet(n, level, level);
    const atBorder = (row: number) => sample.sizes[row] < level || sample.sizes[row] > n - level;
    const exact =
      level >= 3 ? borderShare(sample, left, columns, atBorder) : new Float64Array(columns.length);
    const target = level >= 3 ? left.map((value, row) => (atBorder(row) ? 0 : value)) : left;
    const rows = level === 1 ? interior(sample) : bordersFirst(sample, atBorder);
    const { solution, standardErrors: errors } = await fit({
      sample,
      rows,
      y: target,
      weight: (row) => (atBorder(row) ? BORDER : kernelWeight(n, level, sample.sizes[row])) * importance[row],
      columns,
      share: bernoulliShare,
      total: level === 1 ? fullValue(sample, y) : null,
      signal,
    });
    const fitted = solution.map((value, c) => value + exact[c]);
    values.push(...fitted);
    standardErrors.push(...errors);
    if (level < order) left = lessFitted(sample, left, columns, fitted);
  }
  return { values: Float64Array.from(values), standardErrors: Float64Array.from(standardErrors) };
}

/** Heavy rows first: Householder reflections lose digits when they meet a heavy row late. */
function bordersFirst(sample: CoalitionSample, atBorder: (row: number) => boolean): number[] {
  const rows = Array.from(sample.sizes.keys());
  return [...rows.filter(atBorder), ...rows.filter((row) => !atBorder(row))];
}

function borderShare(
  sample: CoalitionSample,
  y: Float64Array,
  columns: InteractionSet,
  atBorder: (row: number) => boolean,
): Float64Array {
  const n = columns.players;
  const rows = Array.from(sample.sizes.keys()).filter(atBorder);
  return Float64Array.from({ length: columns.length }, (_, c) => {
    const members = columns.at(c);
    const l = members.length;
    let sum = 0;
    for (const row of rows) {
      let r = 0;
      for (const player of members) if (sample.coalitions.has(row, player)) r++;
      const t = sample.sizes[row];
      if (t - r > n - l) continue;
      sum += (((l - r) % 2 === 0 ? 1 : -1) * y[row]) / ((n - l + 1) * binomial(n - l, t - r));
    }
    return sum;
  });
}

/** y less what the interactions give every coalition. */
function lessFitted(
  sample: CoalitionSample,
  y: Float64Array,
  columns: InteractionSet,
  values: Float64Array,
): Float64Array {
  const present = presence(sample.coalitions);
  const left = Float64Array.from(y);
  for (let c = 0; c < columns.length; c++) {
    const members = columns.at(c);
    const shares = Array.from({ length: members.length + 1 }, (_, r) => bernoulliShare(members.length, r));
    for (let i = 0; i < left.length; i++) {
      let inside = 0;
      for (const player of members) inside += present[player][i];
      left[i] -= shares[inside] * values[c];
    }
  }
  return left;
}

/** What a game with these dividends (orders of `columns`) gives every coalition of the sample. */
export function polynomialValues(
  sample: CoalitionSample,
  columns: InteractionSet,
  dividends: Float64Array,
): Float64Array {
  const present = presence(sample.coalitions);
  const values = new Float64Array(sample.sizes.length);
  for (let c = 0; c < columns.length; c++) {
    const members = columns.at(c);
    for (let i = 0; i < values.length; i++) {
      let all = 1;
      for (const player of members) all &= present[player][i];
      if (all) values[i] += dividends[c];
    }
  }
  return values;
}
