import { areaUnderCurve } from '../metrics/steps.js';
import type { MeasuredRecord } from './record.js';

/** Mean F_syn of a sample's random orders, and the largest. */
export interface ChanceMeasures
  extends Readonly<Record<'raw' | 'rawOpen' | 'rawInsertion' | 'rawDeletion' | 'best', number>> {
  readonly orders: number;
}

/** Raw F_syn up to the last step but one: the last is the same number for every explainer. */
export function openMean(
  steps: readonly number[],
  { insertion, deletion }: { readonly insertion: readonly number[]; readonly deletion: readonly number[] },
): number {
  const open = (curve: readonly number[]) => areaUnderCurve(steps.slice(0, -1), curve.slice(0, -1));
  return (open(insertion) + open(deletion)) / 2;
}

export function chanceMeasures({ steps, chance }: MeasuredRecord): ChanceMeasures | null {
  if (chance === undefined) return null;
  const rawInsertion = areaUnderCurve(steps, chance.insertion);
  const rawDeletion = areaUnderCurve(steps, chance.deletion);
  return {
    orders: chance.orders,
    raw: (rawInsertion + rawDeletion) / 2,
    rawInsertion,
    rawDeletion,
    rawOpen: openMean(steps, chance),
    best: chance.best,
  };
}
