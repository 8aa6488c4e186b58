/**
 * How much a region of the picture and a word of the question give together, beyond what each gives alone.
 */
export interface WordRegions {
  /** Region of every image player, 0, 1, ...; neighbouring players may share one. Shape [image players]. */
  readonly regions: Int32Array;
  /** [regions, text players], row-major, in units of the value. */
  readonly values: Float64Array;
  /** Of `values`, the same shape. */
  readonly standardErrors: Float64Array;
}

/**
 * An explainer's scores: one finite number per image player and one per text player; larger means more
 * important.
 */
export interface Attribution {
  readonly image: Float64Array;
  readonly text: Float64Array;
  /** What the method reports about itself, for example Integrated Gradients' completeness error. */
  readonly diagnostics?: Readonly<Record<string, number>>;
  /** The pairs that the scores come from, where the method has them. */
  readonly wordRegions?: WordRegions;
}

/** Which players decide the answer, where that is known: one byte (0 or 1) per player. */
export interface PlayerTruth {
  readonly image: Uint8Array;
  readonly text: Uint8Array;
  /** Image players that could be taken for those that decide, and do not; absent where none is named. */
  readonly distractors?: Uint8Array;
}
