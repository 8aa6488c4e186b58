/** What was found out about one layout. Differences are of probabilities of answer tokens. */
export interface Measured {
  /** Largest difference from PyTorch in float64 on the unconverted model, words removed or attended. */
  readonly pytorch: { readonly remove: number; readonly attend: number };
  /**
   * Largest difference between cells scored together and passes one by one on the file as it is, words
   * removed.
   */
  readonly oneByOne: number;
  /** Time of the cells of one explanation one by one, over their time together; one thread, words removed. */
  readonly speedup: number;
  readonly fallbacks: readonly string[];
}

export interface LayoutRow {
  readonly model: string;
  readonly layout: string;
  /** Why there is no such layout of this model. */
  readonly impossible?: string;
  /** Why it could not be run. */
  readonly failed?: string;
  readonly measured?: Measured;
  /** Explainers that gave none, with their reasons. */
  readonly explainers?: Readonly<Record<string, string>>;
}
