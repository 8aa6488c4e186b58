import { escapeHtml } from '../html-text.js';
import { largestMagnitude } from './heatmap.js';

/** One word and the regions that act with it, ready to be drawn. */
export interface WordMap {
  readonly word: number;
  readonly label: string;
  /** Score of every image player: its region's pair with the word, 0 where it is not told from 0. */
  readonly scores: Float64Array;
  /** Pairs of the word that are more than two standard errors from 0, of how many. */
  readonly told: number;
  readonly regions: number;
}

/** The same as it stands in a row. */
type Stored = Readonly<
  Record<'regions' | 'values', ArrayLike<number>> & {
    /** Null: infinite. */
    standardErrors: ArrayLike<number | null>;
  }
>;

/** The map of every word. Pairs within two standard errors of 0 are left blank: they may be noise. */
export function wordMaps({ regions, values, standardErrors }: Stored, labels: readonly string[]): WordMap[] {
  const words = labels.length;
  const count = values.length / words;
  return labels.map((label, word) => {
    const pairs = Float64Array.from({ length: count }, (_, region) => {
      const at = region * words + word;
      const error = standardErrors[at] ?? Number.POSITIVE_INFINITY;
      return Math.abs(values[at]) > 2 * error ? values[at] : 0;
    });
    return {
      word,
      label: label.trim(),
      scores: Float64Array.from(regions, (region) => pairs[region]),
      told: pairs.filter((value) => value !== 0).length,
      regions: count,
    };
  });
}

/** What colours of all words are scaled by, so that words can be compared. */
export function largestPair(maps: readonly WordMap[]): number {
  return Math.max(0, ...maps.map(({ scores }) => largestMagnitude(scores)));
}

/**
 * A picture for each word, one shown at a time: radio buttons and style do without a script.
 *
 * @param group unique in the page
 * @param figures HTML of each word's picture
 */
export function wordChooser(group: string, maps: readonly WordMap[], figures: readonly string[]): string {
  // The word with the strongest pair first in the reader's eye.
  const strongest = maps.reduce(
    (best, { scores }, i) => (largestMagnitude(scores) > largestMagnitude(maps[best].scores) ? i : best),
    0,
  );
  const choices = maps.map(({ label, told, regions }, i) => {
    const checked = i === strongest ? ' checked' : '';
    const title = `${told} of ${regions} regions told from 0`;
    return `<input type="radio" name="${group}" id="${group}-${i}"${checked}><label for="${group}-${i}" title="${title}">${escapeHtml(label)}</label>`;
  });
  const rules = maps.map((_, i) => `#${group}-${i}:checked ~ .${group}-${i}`).join(', ');
  const shown = figures.map((figure, i) => `<div class="word-map ${group}-${i}">${figure}</div>`);
  return `<style>.word-map { display: none } ${rules} { display: block } .words label { padding: 0 .3rem } .words input { margin: 0 }</style>
<div class="words">${choices.join('')}
${shown.join('\n')}</div>`;
}
