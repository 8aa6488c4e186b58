import { decimal } from '../text-table.js';
import type { ExplainerStyle } from './explainer-style.js';
import type { ReportTable } from './report-tables.js';
import type { ToldApart } from './told-apart.js';

/** The outcome in a few sentences. */
export function toldApartText(found: ToldApart, style: ExplainerStyle): string {
  const { isCertain, samples, available, places, alpha, guarantee, pair } = found;
  const what = pair
    ? `the order of ${style.title(pair[0])} and ${style.title(pair[1])}`
    : 'the whole ranking';
  const open = places.filter(({ first, last }) => first !== last).map(({ name }) => style.title(name));
  const outcome = isCertain
    ? `${samples} of ${available} samples were enough: ${what} is certain.`
    : `All ${samples} samples were not enough for ${what}: open are ${open.join(', ')}.`;
  const kind =
    guarantee === 'certified'
      ? `The chance of any false order is at most ${alpha}, whenever one stops.`
      : `The chance of any false order is at most ${alpha} in the limit of many samples: no certificate.`;
  return `${outcome} ${kind} Explainers whose place was certain were measured on fewer samples, so that means elsewhere are of different samples.`;
}

/** Places, largest F_syn first. */
export function placeTable({ places }: ToldApart, style: ExplainerStyle): ReportTable {
  const sorted = [...places].sort((a, b) => a.first - b.first || a.last - b.last);
  return {
    head: ['explainer', 'place', 'measured on'],
    body: sorted.map(({ name, first, last, samples }) => [
      style.title(name),
      first === last ? `${first}, certain` : `${first} to ${last}`,
      `${samples} samples`,
    ]),
  };
}

/** Every pair with the p-values of both orders. */
export function sequentialPairTable({ pairs }: ToldApart, style: ExplainerStyle): ReportTable {
  const p = (value: number) => (value < 0.001 ? '< 0.001' : value.toFixed(3));
  return {
    head: ['pair', 'mean difference', 'samples', 'p: first is not above', 'p: first is not below'],
    body: pairs.map(({ one, other, mean, samples, above, below }) => [
      `${style.title(one)} - ${style.title(other)}`,
      decimal(mean),
      String(samples),
      p(above),
      p(below),
    ]),
  };
}
