import type { Interval } from '../statistics/bootstrap.js';
import { intervalOfMeans, resampleMeans } from '../statistics/resample.js';
import type { MeasureMeans, Sampling } from './measure-means.js';
import type { Pool } from './pool.js';
import type { Measure } from './row-measures.js';

/** One explainer between chance and the best order found; every number is paired by sample. */
export interface ScaleRow {
  readonly name: string;
  readonly samples: number;
  /** Mean raw F_syn less that of chance. */
  readonly excess: Interval;
  /** Excess as a share of the way from chance to the best order: a ratio of means. */
  readonly share: Interval;
  /** Excess of raw F_syn without its last step, of its insertion half, of its deletion half. */
  readonly open: Interval;
  readonly insertion: Interval;
  readonly deletion: Interval;
}

/** F_syn on a scale from chance to the best order found. Ours, not the paper's: docs/metrics.md. */
export interface Scale {
  /** Random orders per sample that make chance; 1 where it is the row of Random. */
  readonly orders: number;
  /** Whether chance is orders of its own or the row of the explainer Random. */
  readonly source: 'orders' | 'random';
  readonly samples: number;
  readonly chance: Interval;
  /** Largest raw F_syn of any row of a sample, mean over samples: a lower bound of the best possible. */
  readonly best: Interval;
  readonly rows: readonly ScaleRow[];
}

const compared = ['raw', 'rawOpen', 'rawInsertion', 'rawDeletion'] as const satisfies readonly Measure[];
const perExplainer = compared.length + 1;

/** Null without random orders and without Random. */
export function scaleOf(pool: Pool, means: MeasureMeans, sampling: Sampling): Scale | null {
  const orders = pool.chanceOrders;
  const source = orders > 0 ? 'orders' : 'random';
  if (source === 'random' && !pool.explainers.includes('random')) return null;
  const chanceOf = (measure: (typeof compared)[number]) =>
    source === 'orders' ? pool.chance(measure) : means.values('random', measure);
  const chance = chanceOf('raw');
  const best = chance.map((value, unit) =>
    Number.isNaN(value)
      ? value
      : pool.explainers.reduce(
          (most, name) => Math.max(most, orElse(means.values(name, 'raw')[unit], most)),
          Math.max(value, source === 'orders' ? pool.bestChance[unit] : value),
        ),
  );
  const measured = pool.explainers.filter((name) => means.isMeasured(name));
  const columns = [chance, best];
  for (const name of measured) {
    for (const measure of compared) {
      const reference = chanceOf(measure);
      columns.push(means.values(name, measure).map((value, unit) => value - reference[unit]));
    }
    // The way from chance to best on the samples that this explainer has.
    columns.push(means.values(name, 'raw').map((value, unit) => best[unit] - chance[unit] + 0 * value));
  }
  const resampled = resampleMeans(columns, sampling);
  const of = (at: number) => intervalOfMeans(resampled, (all) => all[at]);
  const rows = measured.map((name, e): ScaleRow => {
    const at = 2 + e * perExplainer;
    return {
      name,
      samples: columns[at].filter((value) => !Number.isNaN(value)).length,
      excess: of(at),
      share: intervalOfMeans(resampled, (all) => all[at] / all[at + compared.length]),
      open: of(at + 1),
      insertion: of(at + 2),
      deletion: of(at + 3),
    };
  });
  return {
    orders: Math.max(orders, 1),
    source,
    samples: chance.filter((value) => !Number.isNaN(value)).length,
    chance: of(0),
    best: of(1),
    rows,
  };
}

const orElse = (value: number, otherwise: number) => (Number.isNaN(value) ? otherwise : value);
