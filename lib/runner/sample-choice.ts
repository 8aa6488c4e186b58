import { type Choosable, chooseGrounded, chooseSpread } from '../datasets/choose.js';

/** How many samples of a dataset get more than F_syn. */
export interface ChoiceCounts {
  /** Samples with the exact Shapley interaction index: those that need image and question first. */
  readonly shapley: number;
  /** Samples with a picture in the gallery, of every kind of grounding. */
  readonly gallery: number;
  readonly seed: number;
}

/** Ids of the chosen samples. */
export interface ChosenSamples {
  readonly shapley: ReadonlySet<string>;
  readonly gallery: ReadonlySet<string>;
}

/**
 * Chooses by id, grounding and seed: the same samples in every shard, and more of the same for larger
 * numbers.
 */
export function chooseSamples(
  outline: readonly Choosable[],
  { shapley, gallery, seed }: ChoiceCounts,
): ChosenSamples {
  const ids = (chosen: readonly Choosable[]) => new Set(chosen.map(({ id }) => id));
  return {
    shapley: ids(chooseGrounded(outline, { limit: shapley, seed })),
    gallery: ids(chooseSpread(outline, { limit: gallery, seed })),
  };
}
