import { tiedPairs } from '../cells/ranking.js';
import type { MeasuredRecord } from './record.js';

/** How much of a map's order is its own: share of pairs of players with equal scores, per modality. */
export interface MapTies {
  readonly image: number;
  readonly text: number;
}

/**
 * Samples of an explainer on which a map orders little or nothing, so that F_syn is partly that of the
 * players' places.
 */
export interface MapOrder {
  readonly samples: number;
  /** All scores equal: in the image, in the words, in either. */
  readonly constantImage: number;
  readonly constantText: number;
  readonly constant: number;
  /** More than half of all pairs equal, but not all. */
  readonly tiedImage: number;
  readonly tiedText: number;
}

export function tiesOf({ ties, attribution }: Pick<MeasuredRecord, 'ties' | 'attribution'>): MapTies {
  return ties ?? { image: tiedPairs(attribution.image), text: tiedPairs(attribution.text) };
}

export function isConstant({ image, text }: MapTies): boolean {
  return image === 1 || text === 1;
}

export function orderOf(maps: readonly MapTies[]): MapOrder {
  const count = (wanted: (map: MapTies) => boolean) => maps.filter(wanted).length;
  const isTied = (share: number) => share > 0.5 && share < 1;
  return {
    samples: maps.length,
    constantImage: count(({ image }) => image === 1),
    constantText: count(({ text }) => text === 1),
    constant: count(isConstant),
    tiedImage: count(({ image }) => isTied(image)),
    tiedText: count(({ text }) => isTied(text)),
  };
}

/** Whether most of an explainer's maps leave a modality without an order: its F_syn is not its own. */
export function isUnordered({ constant, samples }: MapOrder): boolean {
  return 2 * constant > samples;
}
