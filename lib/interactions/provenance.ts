/** What an estimate cost. */
export interface Spending {
  /** Values asked from the value function, repeats included. */
  readonly evaluations: number;
  /** Distinct coalitions among them: what a caching evaluator pays for. */
  readonly distinctCoalitions: number;
  /** Distinct image states among them; null when the players have no modalities. */
  readonly imageStates: number | null;
}

/** How values were estimated. */
export interface Provenance {
  readonly estimator: string;
  /** Why this estimator, where the caller named none. */
  readonly reason?: string;
  /** True where the caller gave the coalitions and their values. */
  readonly given?: true;
  readonly seed: number;
  readonly budget: number;
  readonly spent: Spending;
  /**
   * Share of the variance of held-out coalitions that the models explain, before the index of what they leave
   * over is added; at most 1, 'sparse' only.
   */
  readonly explained?: number;
  /**
   * Share of the index's weight on strata that no draw fell into and that therefore count as v(empty), the
   * largest of all interactions, 0..1; 'svarm-iq' only. 0: the estimate is unbiased. Otherwise the weighted
   * means of those strata are missing from it, which the standard errors allow for.
   */
  readonly emptyStrata?: number;
}
