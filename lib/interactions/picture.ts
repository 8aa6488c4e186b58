import { checkInteger, checkOneOf } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import { drawHeatmap } from './picture-heatmap.js';
import { drawNetwork } from './picture-network.js';
import { frame } from './picture-parts.js';
import type { Interactions } from './result.js';
import { headline } from './text.js';

export interface PictureOptions {
  /**
   * 'network': players on a circle, the strongest pairs as lines between them. 'heatmap': a cell per pair.
   * 'auto' (default): a heat-map of pairs across modalities and of more than 24 players, else a network.
   */
  readonly kind: 'network' | 'heatmap' | 'auto';
  /** Most lines of a network, >= 1; the strongest are drawn. */
  readonly count: number;
  /** Above the picture; null (default) for what the result is. */
  readonly title: string | null;
}

const DEFAULTS: PictureOptions = { kind: 'auto', count: 40, title: null };
/** More than this on a circle cannot be told apart. */
const MOST_ON_CIRCLE = 24;
/** Rows or columns of a heat-map that can still be looked at. */
const MOST_CELLS = 400;

/**
 * Draws the pairs of a result, and its single players where it has them, as one SVG document: red where
 * players add to each other, blue where they take from each other. Estimates within two standard errors of 0
 * are dashed or crossed out. Every mark has its numbers in a title, which browsers show under the pointer.
 * Equal results give equal bytes.
 *
 * @throws FsynError INVALID_ARGUMENT for a result without pairs, and for heat-maps of more than 400 players a
 *   side
 * @example
 * writeFileSync('sii.svg', interactionsSvg(result, { title: 'What goes together' }));
 */
export function interactionsSvg(result: Interactions, options: Partial<PictureOptions> = {}): string {
  const { kind, count, title } = resolveOptions('interactionsSvg', DEFAULTS, options);
  checkOneOf('kind', kind, ['network', 'heatmap', 'auto']);
  checkInteger('count', count, 1);
  if (title !== null && typeof title !== 'string') throw invalidArgument('title', 'a text or null', title);
  const [begin, end] = result.set.range(2);
  if (begin === end)
    throw new FsynError(
      'INVALID_ARGUMENT',
      `A picture shows pairs, and this ${result.index} has orders ${result.set.minOrder} to ${result.set.maxOrder} only.`,
    );
  const heatmap =
    kind === 'heatmap' || (kind === 'auto' && (result.set.sides || result.players.count > MOST_ON_CIRCLE));
  const { sides } = result.set;
  const largestSide = sides
    ? Math.max(...[1, 2].map((side) => sides.filter((own) => own === side).length))
    : result.players.count;
  if (heatmap && largestSide > MOST_CELLS)
    throw invalidArgument('result', `at most ${MOST_CELLS} players a side in a heat-map`, largestSide);
  const drawing = heatmap ? drawHeatmap(result) : drawNetwork(result, count);
  return frame(drawing, title ?? headline(result));
}
