import { checkInteger } from '../checks.js';
import { invalidArgument } from '../errors.js';

/** Fractions 0, 0.1, ..., 1 of the players: the eleven steps of the paper. */
export const defaultSteps: readonly number[] = evenSteps(10);

/** Fractions 0, 1/count, ..., 1. @throws FsynError INVALID_ARGUMENT unless count is an integer >= 1 */
export function evenSteps(count: number): number[] {
  checkInteger('steps', count, 1);
  return Array.from({ length: count + 1 }, (_, i) => i / count);
}

/** Checks fractions: at least two, ascending, from 0 to 1. */
export function validateSteps(steps: readonly number[]): void {
  const ascending = steps.every((step, i) => i === 0 || step > steps[i - 1]);
  if (steps.length < 2 || steps[0] !== 0 || steps[steps.length - 1] !== 1 || !ascending) {
    throw invalidArgument(
      'steps',
      'strictly ascending fractions that start at 0 and end at 1',
      `[${steps.join(', ')}]`,
    );
  }
}

/**
 * Number of players at a fraction: step * players in double precision, rounded half to even, clamped to
 * 0..players.
 */
export function playersAtStep(step: number, players: number): number {
  const exact = step * players;
  const floor = Math.floor(exact);
  const rest = exact - floor;
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  return Math.min(Math.max(rounded, 0), players);
}

/** Area under a curve over the steps by the trapezoidal rule. */
export function areaUnderCurve(steps: readonly number[], curve: ArrayLike<number>): number {
  if (curve.length !== steps.length) throw invalidArgument('curve', `${steps.length} points`, curve.length);
  let area = 0;
  for (let i = 1; i < steps.length; i++) area += ((curve[i] + curve[i - 1]) / 2) * (steps[i] - steps[i - 1]);
  return area;
}

/** What each point of a curve counts for in the area under it: `areaUnderCurve` is their weighted sum. */
export function stepWeights(steps: readonly number[]): number[] {
  return steps.map((step, i) => ((steps[i + 1] ?? step) - (steps[i - 1] ?? step)) / 2);
}

/** Presence of every player when only the first `count` of the ranking are present. */
export function onlyTop(ranking: Int32Array, count: number): Uint8Array {
  const present = new Uint8Array(ranking.length);
  for (let i = 0; i < count; i++) present[ranking[i]] = 1;
  return present;
}

/** Presence of every player when the first `count` of the ranking are absent. */
export function withoutTop(ranking: Int32Array, count: number): Uint8Array {
  const present = new Uint8Array(ranking.length).fill(1);
  for (let i = 0; i < count; i++) present[ranking[i]] = 0;
  return present;
}
