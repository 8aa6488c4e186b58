import { controlNames, type Pool } from './pool.js';
import type { Measure } from './row-measures.js';

/**
 * What a sample tells. `visual trap`: the map finds image regions that move the answer alone, and not what
 * acts together, which another explainer finds. `contradiction`: the image half is good and the text half
 * worse than none. `failure of all`: image and words are needed together, and no explainer finds them.
 */
export type TellingKind = 'visual trap' | 'contradiction' | 'failure of all';

/** One sample worth looking at. Numbers are normalised, as in the paper's tables. */
export interface TellingSample {
  readonly kind: TellingKind;
  readonly dataset: string;
  readonly sample: string;
  /** Whose map it is about; of a failure of all the one with the largest F_syn. */
  readonly explainer: string;
  readonly imageSrg: number;
  readonly textSrg: number;
  readonly synergy: number;
  /** Of a trap: the explainer with the largest F_syn. */
  readonly better: string | null;
  /** How many samples there are of the kind. */
  readonly count: number;
}

/** After the thresholds by which the paper's code looks for its archetypes. */
const bounds = {
  trap: { image: 0.4, synergy: 0.1 },
  contradiction: { image: 0.5, text: -0.1 },
  /** The corner dividend is raw: a question that needs both moves the answer's probability by as much. */
  failure: { synergy: 0.05, dividend: 0.25 },
} as const;
const shown = 3;

interface Found extends Omit<TellingSample, 'count'> {
  readonly strength: number;
}

/** The strongest samples of every kind, by model; controls explain nothing and are left out. */
export function findTelling(pool: Pool): TellingSample[] {
  const names = pool.explainers.filter((name) => !controlNames.includes(name));
  const column = (measure: Measure) => new Map(names.map((name) => [name, pool.column(name, measure)]));
  const columns = {
    imageSrg: column('normalisedImageSrg'),
    textSrg: column('normalisedTextSrg'),
    synergy: column('normalised'),
  };
  const dividends = pool.cornerDividend;
  const found = pool.groups
    .flatMap((group) => group.samples.map((sample) => ({ dataset: group.dataset, sample })))
    .flatMap((identity, unit) => {
      const maps = names
        .map((name) => ({
          explainer: name,
          imageSrg: columns.imageSrg.get(name)![unit],
          textSrg: columns.textSrg.get(name)![unit],
          synergy: columns.synergy.get(name)![unit],
        }))
        .filter(({ synergy }) => !Number.isNaN(synergy));
      return tellingOf(maps, dividends[unit]).map((one) => ({ ...one, ...identity }));
    });
  return (['visual trap', 'contradiction', 'failure of all'] as const).flatMap((kind) => {
    const own = found.filter((one) => one.kind === kind);
    const samples = new Set(own.map(({ dataset, sample }) => JSON.stringify([dataset, sample])));
    // One map of a sample is enough to look it up.
    const strongest = new Map<string, Found>();
    for (const one of [...own].sort((a, b) => b.strength - a.strength)) {
      const key = JSON.stringify([one.dataset, one.sample]);
      if (!strongest.has(key)) strongest.set(key, one);
    }
    return [...strongest.values()]
      .slice(0, shown)
      .map(({ strength: _, ...one }) => ({ ...one, count: samples.size }));
  });
}

type Map1 = Pick<Found, 'explainer' | 'imageSrg' | 'textSrg' | 'synergy'>;
type Draft = Omit<Found, 'dataset' | 'sample'>;

function tellingOf(maps: readonly Map1[], dividend: number): Draft[] {
  if (maps.length === 0) return [];
  const best = maps.reduce((a, b) => (b.synergy > a.synergy ? b : a));
  const drafts: Draft[] = maps.flatMap((map): Draft[] => [
    ...(map.imageSrg > bounds.trap.image &&
    map.synergy < bounds.trap.synergy &&
    best.synergy > bounds.trap.synergy
      ? [
          {
            ...map,
            kind: 'visual trap' as const,
            better: best.explainer,
            strength: map.imageSrg - map.synergy,
          },
        ]
      : []),
    ...(map.imageSrg > bounds.contradiction.image && map.textSrg < bounds.contradiction.text
      ? [{ ...map, kind: 'contradiction' as const, better: null, strength: map.imageSrg - map.textSrg }]
      : []),
  ]);
  if (best.synergy < bounds.failure.synergy && dividend > bounds.failure.dividend)
    drafts.push({ ...best, kind: 'failure of all', better: null, strength: dividend - best.synergy });
  return drafts;
}
