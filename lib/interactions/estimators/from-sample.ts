import { FsynError } from '../../errors.js';
import { InteractionSet } from '../interaction-set.js';
import { dividendWeights } from '../weights.js';
import type { EstimatedIndex, EstimatorName } from './catalogue.js';
import { type Estimate, type MomentIndex, type StratifiedEstimate, shapIq, svarmIq } from './moments.js';
import {
  additiveShapley,
  faithfulBanzhaf,
  faithfulShapley,
  kernelShapIq,
  polynomialValues,
} from './regression.js';
import type { CoalitionSample } from './sample.js';

/** Index whose weights are used: SV and BV are orders 1 of SII and BII. */
export type WeightedIndex = Exclude<EstimatedIndex, 'SV' | 'BV'>;

/** An estimate, and for 'svarm-iq' how much of it no draw decided. */
export type SampleEstimate = Estimate & Partial<Pick<StratifiedEstimate, 'emptyStrata'>>;

/** The moment estimators' name of an index; k-SII and kADD-SHAP are made from SII's. */
export function momentName(index: WeightedIndex): MomentIndex {
  return index === 'k-SII' || index === 'kADD-SHAP' ? 'SII' : index;
}

/**
 * An estimate from values (less v(empty)) of a drawn sample: exported for conformance tests on given samples.
 */
export async function fromSample(
  sample: CoalitionSample,
  y: Float64Array,
  set: InteractionSet,
  index: WeightedIndex,
  { estimator, p }: { readonly estimator: EstimatorName; readonly p: number },
  signal: AbortSignal | undefined,
): Promise<SampleEstimate> {
  const full = () => new InteractionSet(set.players, 1, set.maxOrder);
  switch (estimator) {
    case 'regression':
      return fromPolynomial(sample, y, set, index, p, signal);
    case 'kernel-shap-iq': {
      const found = await kernelShapIq(sample, y, set.maxOrder, signal);
      return aggregate(found, full(), set, index);
    }
    case 'faithful': {
      const fit =
        index === 'FBII' || index === 'BII'
          ? faithfulBanzhaf
          : index === 'kADD-SHAP'
            ? additiveShapley
            : faithfulShapley;
      return select(await fit(sample, y, set.maxOrder, signal), full(), set);
    }
    case 'shap-iq': {
      const whole = aggregateNeeds(index, set);
      return aggregate(await shapIq(sample, y, whole, momentName(index), p, signal), whole, set, index);
    }
    case 'svarm-iq': {
      const whole = aggregateNeeds(index, set);
      const found = await svarmIq(sample, y, whole, momentName(index), p, signal);
      return { ...aggregate(found, whole, set, index), emptyStrata: found.emptyStrata };
    }
    default:
      throw new FsynError('INVALID_ARGUMENT', `${estimator} does not work on a sample of coalitions.`);
  }
}

/**
 * Which interactions must be estimated for the wanted ones: k-SII of an order needs SII of the orders above
 * it.
 */
export function aggregateNeeds(index: WeightedIndex, set: InteractionSet): InteractionSet {
  if (index !== 'k-SII' || set.sides || set.minOrder === set.maxOrder) return set;
  return new InteractionSet(set.players, set.minOrder, set.maxOrder);
}

/** k-SII from SII (Bordt & von Luxburg 2023); errors as if the values were independent. */
export function aggregate(
  found: Estimate,
  from: InteractionSet,
  to: InteractionSet,
  index: WeightedIndex,
): Estimate {
  if (index !== 'k-SII') return select(found, from, to);
  const values = found.values.slice();
  const variances = found.standardErrors.map((error) => error * error);
  for (let at = 0; at < from.length; at++) {
    const members = from.at(at);
    forEachSubset(members, from.minOrder, (subset) => {
      if (subset.length === members.length) return;
      const factor = bernoulliOf(members.length - subset.length);
      const position = from.position(subset);
      if (factor === 0 || position < 0) return;
      values[position] += factor * found.values[at];
      variances[position] += factor * factor * found.standardErrors[at] ** 2;
    });
  }
  return select({ values, standardErrors: variances.map(Math.sqrt) }, from, to);
}

const BERNOULLI = [1, -1 / 2, 1 / 6, 0, -1 / 30, 0, 1 / 42, 0];

function bernoulliOf(j: number): number {
  return BERNOULLI[j];
}

function forEachSubset(members: Int32Array, least: number, visit: (subset: number[]) => void): void {
  for (let code = 1; code < 2 ** members.length; code++) {
    const subset = Array.from(members).filter((_, m) => (code >> m) & 1);
    if (subset.length >= least) visit(subset);
  }
}

function select(found: Estimate, from: InteractionSet, to: InteractionSet): Estimate {
  if (from === to) return found;
  const pickFrom = (source: Float64Array) =>
    Float64Array.from({ length: to.length }, (_, i) => source[from.position(to.at(i))]);
  return { values: pickFrom(found.values), standardErrors: pickFrom(found.standardErrors) };
}

/**
 * Order-2 polynomial as a control variate (Witter et al. 2025, there for first-order values and trees): its
 * own index is exact, what it leaves over is small, and SVARM-IQ of that removes the bias of the fit where
 * strata have draws: an empty stratum leaves it to the polynomial.
 */
async function fromPolynomial(
  sample: CoalitionSample,
  y: Float64Array,
  set: InteractionSet,
  index: WeightedIndex,
  p: number,
  signal: AbortSignal | undefined,
): Promise<Estimate> {
  const n = set.players;
  const degree = Math.min(2, n);
  const fit =
    index === 'BII'
      ? await faithfulBanzhaf(sample, y, degree, signal)
      : { ...(await faithfulShapley(sample, y, degree, signal)), intercept: 0 };
  const columns = new InteractionSet(n, 1, degree);
  const fitted = polynomialValues(sample, columns, fit.values);
  const residual = y.map((value, i) => value - fitted[i] - fit.intercept);
  const name = index === 'k-SII' ? 'SII' : momentName(index);
  const rest = aggregate(await svarmIq(sample, residual, set, name, p, signal), set, set, index);
  const weights = dividendWeights(index === 'k-SII' ? 'k-SII' : (name as 'SII'), n, 1, set.maxOrder, p);
  const values = rest.values.slice();
  for (let at = 0; at < columns.length; at++) {
    const members = columns.at(at);
    forEachSubset(members, 1, (subset) => {
      if (subset.length > set.maxOrder) return;
      const position = set.position(subset);
      if (position >= 0)
        values[position] += weights[(subset.length - 1) * (n + 1) + members.length] * fit.values[at];
    });
  }
  return { values, standardErrors: rest.standardErrors };
}
