import type { CornerValues } from '../cells/corners.js';

/**
 * How much of an answer each modality gives alone, and both only together: shares of |v(I,T) - v(none,none)|.
 */
export interface ModalityShares {
  readonly image: number;
  readonly text: number;
  /** The dividend of the corners, v(I,T) - v(I,none) - v(none,T) + v(none,none): no explainer changes it. */
  readonly both: number;
}

/**
 * What the model needed for its answer. `either`: each modality alone gives it. `neither`: the answer hardly
 * depends on the input at all.
 */
export type Behaviour = 'both' | 'text' | 'image' | 'either' | 'neither';

export const behaviours: readonly Behaviour[] = ['both', 'text', 'image', 'either', 'neither'];

/**
 * Splits what the full input adds to the empty one. The three shares sum to 1 (or -1) where the answer
 * depends on the input by more than `floor`; below, they are fractions of `floor` and small.
 *
 * This split is fsyn's own, not the paper's; docs/metrics.md has the formulas.
 */
export function modalityShares(
  { full, textOnly, imageOnly, empty }: CornerValues,
  floor: number,
): ModalityShares {
  const scale = Math.max(Math.abs(full - empty), floor);
  return {
    image: (imageOnly - empty) / scale,
    text: (textOnly - empty) / scale,
    both: (full - imageOnly - textOnly + empty) / scale,
  };
}

/**
 * What the model needed: a modality suffices alone when it goes half the way from the empty input to the full
 * one.
 *
 * Half of v(I,T) itself would not do: a model that guesses between two answers gives each about a half
 * without any input, and every yes-no question would count as answered by the text.
 */
export function behaviourOf(corners: CornerValues, floor: number): Behaviour {
  if (Math.abs(corners.full - corners.empty) < floor) return 'neither';
  const { image, text } = modalityShares(corners, floor);
  if (image >= 0.5 && text >= 0.5) return 'either';
  if (text >= 0.5) return 'text';
  return image >= 0.5 ? 'image' : 'both';
}
