/** What was found out about one layout with one way of masking words. Differences are of probabilities of answer tokens. */
export interface Measured {
  /** Largest difference from PyTorch in float64 on the unconverted model. */
  readonly pytorch: number;
  /** Largest difference between cells scored together and passes one by one on the file as it is. */
  readonly oneByOne: number;
  /** Time of the cells of one explanation one by one, over their time together; one thread. */
  readonly speedup: number;
  readonly fallbacks: readonly string[];
}

export interface LayoutRow {
  readonly model: string;
  readonly layout: string;
  /** Why there is no such layout of this model. */
  readonly impossible?: string;
  /** Why it could not be loaded. */
  readonly failed?: string;
  readonly remove?: Measured | { readonly failed: string };
  readonly attend?: Measured | { readonly failed: string };
  /** Explainers that gave none, with their reasons. */
  readonly explainers?: Readonly<Record<string, string>>;
}
