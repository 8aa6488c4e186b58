/** One interaction of a result. */
export interface Interaction {
  /** Ascending player indices. */
  readonly players: readonly number[];
  /** The same as names, when the game has names. */
  readonly names: readonly string[] | null;
  readonly value: number;
  /** Absent for exact values; Infinity where the draws say nothing of it. */
  readonly standardError?: number;
}

/** Players of an interaction in words: names where there are some, else indices. */
export function interactionLabel({ players, names }: Interaction): string {
  return players.length === 0 ? '(empty)' : (names ?? players).join(' x ');
}

/** Three significant digits, in a form that is short for any size. */
export function shortNumber(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value === 0 ? 0 : value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e6 ? decimals(value, size) : value.toExponential(2);
}

function decimals(value: number, size: number): string {
  const text = value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
