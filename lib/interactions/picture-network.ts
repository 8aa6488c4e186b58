import type { Interaction } from './interaction.js';
import { shortNumber } from './interaction.js';
import {
  at,
  type Drawing,
  isUncertain,
  labelWidth,
  safe,
  shortLabel,
  signClass,
  strength,
  tooltip,
} from './picture-parts.js';
import type { Interactions } from './result.js';

interface Place {
  readonly x: number;
  readonly y: number;
  readonly angle: number;
}

/** Players on a circle, clockwise from the top; the strongest pairs bend towards its middle. */
export function drawNetwork(result: Interactions, count: number): Drawing {
  const pairs = result.top(count, { order: 2 }).filter(({ value }) => value !== 0);
  const shown = playersShown(result, pairs);
  const radius = Math.max(110, (shown.length * 24) / (2 * Math.PI));
  const margin = Math.max(...shown.map((p) => labelWidth(shortLabel(result.players.label(p))))) + 34;
  const [width, height] = [2 * (radius + margin), 2 * radius + 84];
  const places = new Map<number, Place>();
  for (const [i, player] of shown.entries()) {
    const angle = (2 * Math.PI * i) / shown.length - Math.PI / 2;
    const [x, y] = [width / 2 + radius * Math.cos(angle), height / 2 + radius * Math.sin(angle)];
    places.set(player, { x, y, angle });
  }
  const largest = Math.abs(pairs[0]?.value ?? 0);
  const middle = { x: width / 2, y: height / 2 };
  // The strongest last, so that nothing covers them.
  const lines = [...pairs].reverse().map((pair) => line(pair, places, middle, largest));
  return {
    width,
    height,
    marks: [...lines, ...nodes(result, shown, places)],
    notes: notesOf(result, pairs, shown, largest),
  };
}

/** All players of a small game, of a large one those that have a line. */
function playersShown(result: Interactions, pairs: readonly Interaction[]): number[] {
  const all = Array.from({ length: result.players.count }, (_, p) => p);
  if (all.length <= 40) return all;
  const touched = new Set(pairs.flatMap(({ players }) => players));
  return touched.size === 0 ? all.slice(0, 40) : all.filter((player) => touched.has(player));
}

function line(
  pair: Interaction,
  places: ReadonlyMap<number, Place>,
  middle: { readonly x: number; readonly y: number },
  largest: number,
): string {
  const [from, to] = pair.players.map((player) => places.get(player)!);
  const share = strength(pair.value, largest);
  const bend = (a: number, b: number, m: number) => at(0.35 * (a + b) + 0.3 * m);
  const path = `M${at(from.x)} ${at(from.y)}Q${bend(from.x, to.x, middle.x)} ${bend(from.y, to.y, middle.y)} ${at(to.x)} ${at(to.y)}`;
  const dashes = isUncertain(pair) ? ' stroke-dasharray="5 4"' : '';
  return `<path d="${path}" class="${signClass(pair.value)} fsyn-line" stroke-width="${at(1 + 7 * share)}" stroke-opacity="${(0.2 + 0.7 * share).toFixed(2)}"${dashes}>${tooltip(pair)}</path>`;
}

function nodes(result: Interactions, shown: readonly number[], places: ReadonlyMap<number, Place>): string[] {
  const singles = singlesOf(result);
  const largest = Math.max(0, ...(singles ?? []).map(({ value }) => Math.abs(value)));
  return shown.map((player) => {
    const { x, y, angle } = places.get(player)!;
    const label = result.players.label(player);
    const single = singles?.[player];
    const radius = single ? 3 + 8 * Math.sqrt(strength(single.value, largest)) : 5;
    const hover = single ? tooltip(single) : `<title>${safe(label)}</title>`;
    const colour = single?.value ? signClass(single.value) : 'fsyn-none';
    const right = Math.cos(angle) >= -1e-9;
    const upright = Math.abs(Math.cos(angle)) < 0.1;
    const anchor = upright ? 'middle' : right ? 'start' : 'end';
    const gap = upright ? 20 : 15;
    const [tx, ty] = [x + gap * Math.cos(angle), y + gap * Math.sin(angle) + 4];
    return `<circle cx="${at(x)}" cy="${at(y)}" r="${at(radius)}" class="${colour}">${hover}</circle><text x="${at(tx)}" y="${at(ty)}" text-anchor="${anchor}" class="fsyn-text">${safe(shortLabel(label))}</text>`;
  });
}

function singlesOf(result: Interactions): Interaction[] | null {
  const [begin, end] = result.set.range(1);
  if (end - begin !== result.players.count) return null;
  return Array.from({ length: end - begin }, (_, i) => result.at(begin + i));
}

function notesOf(
  result: Interactions,
  pairs: readonly Interaction[],
  shown: readonly number[],
  largest: number,
): string[] {
  const [begin, end] = result.set.range(2);
  const { count } = result.players;
  const players = shown.length < count ? `, ${shown.length} of ${count} players` : '';
  return [
    largest === 0
      ? 'All pairs are 0.'
      : `Red: more together than apart; blue: less. The widest line is ${shortNumber(largest)}.`,
    `${pairs.length} of ${end - begin} pairs${players}${result.set.maxOrder > 2 ? '; higher orders are not drawn' : ''}.`,
    ...(singlesOf(result) ? ['A disc is the value of a single player, its area by its size.'] : []),
    ...(pairs.some(isUncertain) ? ['Dashed: within two standard errors of 0.'] : []),
  ];
}
