import type { Attribution, PlayerTruth } from '../cells/attribution.js';

/** How well a map points at what a person marked; nothing of it says whether the model looked there. */
export interface Plausibility {
  /** 1 where a player with the largest score is marked, else 0; 0 for a constant map. */
  readonly pointing: number;
  /** Share of the positive scores that lies on marked players, 0..1; 0 where no score is positive. */
  readonly energy: number;
  /**
   * Intersection over union of the marked players and those above Otsu's threshold, 0..1; 0 for a constant
   * map.
   */
  readonly iou: number;
}

/** Null for a modality in which nothing is marked. */
export interface PlausibilityPair {
  readonly image: Plausibility | null;
  readonly text: Plausibility | null;
}

/**
 * The plausibility of both halves of an attribution: pointing game (Zhang et al. 2018), energy game (Wang et
 * al. 2020) and IoU at Otsu's threshold, over players where the paper's code has pixels.
 */
export function plausibilityOf(
  attribution: Pick<Attribution, 'image' | 'text'>,
  truth: PlayerTruth,
): PlausibilityPair {
  return {
    image: plausibility(attribution.image, truth.image),
    text: plausibility(attribution.text, truth.text),
  };
}

/** @param marked one byte (0 or 1) per score */
export function plausibility(scores: ArrayLike<number>, marked: Uint8Array): Plausibility | null {
  if (!marked.includes(1)) return null;
  const values = Array.from(scores);
  const largest = Math.max(...values);
  const constant = values.every((value) => value === largest);
  const positive = values.map((value) => Math.max(value, 0));
  const whole = positive.reduce((sum, value) => sum + value, 0);
  const inside = positive.reduce((sum, value, i) => sum + (marked[i] ? value : 0), 0);
  const bound = otsuThreshold(values);
  const named = values.map((value) => !constant && value > bound);
  const both = named.filter((is, i) => is && marked[i]).length;
  const either = named.filter((is, i) => is || marked[i]).length;
  return {
    pointing: !constant && values.some((value, i) => value === largest && marked[i]) ? 1 : 0,
    energy: whole === 0 ? 0 : inside / whole,
    iou: both / either,
  };
}

/**
 * The score that parts a map in two with the largest variance between the parts (Otsu 1979); the upper part
 * is above it. Over the scores themselves, without a histogram; of equal cuts the lowest.
 */
export function otsuThreshold(scores: readonly number[]): number {
  const sorted = [...scores].sort((a, b) => a - b);
  const total = sorted.reduce((sum, value) => sum + value, 0);
  let [below, best, threshold] = [0, -1, sorted[sorted.length - 1]];
  for (let i = 1; i < sorted.length; i++) {
    below += sorted[i - 1];
    if (sorted[i] === sorted[i - 1]) continue;
    const difference = below / i - (total - below) / (sorted.length - i);
    const between = i * (sorted.length - i) * difference * difference;
    // Rounding must not choose among equal cuts.
    if (between > best * (1 + 1e-12)) [best, threshold] = [between, sorted[i - 1]];
  }
  return threshold;
}
