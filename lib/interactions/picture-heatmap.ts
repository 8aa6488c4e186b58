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

/** A cell per pair: image players by text players, or all by all with the single players on the diagonal. */
export function drawHeatmap(result: Interactions): Drawing {
  const { sides } = result.set;
  const all = Array.from({ length: result.players.count }, (_, p) => p);
  const [rows, columns] = sides
    ? [all.filter((p) => sides[p] === 1), all.filter((p) => sides[p] === 2)]
    : [all, all];
  const cell = Math.min(34, Math.max(6, Math.floor(720 / Math.max(rows.length, columns.length))));
  const labels = cell >= 11;
  const widest = (players: readonly number[]) =>
    labels ? Math.max(...players.map((p) => labelWidth(shortLabel(result.players.label(p))))) : 0;
  const left = 28 + widest(rows);
  // Column labels lean by 45 degrees.
  const top = 14 + widest(columns) * Math.SQRT1_2;
  const cells = rows.flatMap((row, i) =>
    columns.map((column, j) => ({ found: interactionOf(result, row, column), i, j })),
  );
  const largest = Math.max(0, ...cells.map(({ found }) => Math.abs(found?.value ?? 0)));
  const marks = cells.map(({ found, i, j }) => square(found, left + j * cell, top + i * cell, cell, largest));
  if (labels) {
    for (const [i, p] of rows.entries())
      marks.push(
        `<text x="${at(left - 6)}" y="${at(top + (i + 0.5) * cell + 4)}" text-anchor="end" class="fsyn-text">${safe(shortLabel(result.players.label(p)))}</text>`,
      );
    for (const [j, p] of columns.entries()) {
      const [x, y] = [at(left + (j + 0.5) * cell), at(top - 6)];
      marks.push(
        `<text x="${x}" y="${y}" transform="rotate(-45 ${x} ${y})" class="fsyn-text">${safe(shortLabel(result.players.label(p)))}</text>`,
      );
    }
  }
  const [width, height] = [columns.length * cell, rows.length * cell];
  marks.push(
    `<rect x="${at(left)}" y="${at(top)}" width="${width}" height="${height}" class="fsyn-rim"/>`,
    ...scale(left, top + height + 20, largest),
  );
  const last = labels ? labelWidth(shortLabel(result.players.label(columns[columns.length - 1]))) : 0;
  return {
    width: left + Math.max(width + last * Math.SQRT1_2, 240) + 20,
    height: top + height + 62,
    marks,
    notes: notesOf(
      result,
      cells.map(({ found }) => found),
    ),
  };
}

/** The pair of two players, or the single player where they are the same; null where it was not computed. */
function interactionOf(result: Interactions, row: number, column: number): Interaction | null {
  const players = row === column ? [row] : row < column ? [row, column] : [column, row];
  const position = result.set.position(players);
  return position < 0 ? null : result.at(position);
}

function square(found: Interaction | null, x: number, y: number, size: number, largest: number): string {
  const place = `x="${at(x)}" y="${at(y)}" width="${size}" height="${size}"`;
  if (!found) return `<rect ${place} class="fsyn-none" fill-opacity="0.5"/>`;
  const opacity = strength(found.value, largest).toFixed(2);
  const fill = `<rect ${place} class="${signClass(found.value)}" style="stroke:none" fill-opacity="${opacity}">${tooltip(found)}</rect>`;
  if (!isUncertain(found) || size < 8) return fill;
  const inset = size * 0.3;
  return `${fill}<path d="M${at(x + inset)} ${at(y + inset)}L${at(x + size - inset)} ${at(y + size - inset)}M${at(x + size - inset)} ${at(y + inset)}L${at(x + inset)} ${at(y + size - inset)}" class="fsyn-cross" pointer-events="none"/>`;
}

/** Colours from the largest negative to the largest positive value. */
function scale(x: number, y: number, largest: number): string[] {
  const steps = 21;
  const width = 9;
  const boxes = Array.from({ length: steps }, (_, i) => {
    const value = (2 * i) / (steps - 1) - 1;
    return `<rect x="${at(x + i * width)}" y="${at(y)}" width="${width}" height="10" class="${signClass(value)}" style="stroke:none" fill-opacity="${Math.abs(value).toFixed(2)}"/>`;
  });
  const text = (place: number, anchor: string, value: number) =>
    `<text x="${at(place)}" y="${at(y + 24)}" text-anchor="${anchor}" class="fsyn-text">${shortNumber(value)}</text>`;
  return [
    ...boxes,
    text(x, 'start', -largest),
    text(x + (steps * width) / 2, 'middle', 0),
    text(x + steps * width, 'end', largest),
  ];
}

function notesOf(result: Interactions, found: readonly (Interaction | null)[]): string[] {
  const kept = found.filter((one) => one !== null);
  const singles = kept.some(({ players }) => players.length === 1);
  return [
    `Red: more together than apart; blue: less.${singles ? ' On the diagonal: single players.' : ''}`,
    ...(result.set.maxOrder > 2 ? ['Higher orders are not drawn.'] : []),
    ...(kept.some(isUncertain) ? ['Crossed: within two standard errors of 0.'] : []),
  ];
}
