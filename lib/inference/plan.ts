/** Why cells are not run in the cheapest way. */
export interface Fallback {
  readonly code:
    | 'activations-quantized'
    | 'untried'
    | 'all-rows'
    | 'answer-without-cache'
    | 'no-cache'
    | 'prefix-not-causal'
    | 'nothing-shared'
    | 'one-row-per-run'
    | 'one-image-per-run'
    | 'one-prefix-per-run'
    | 'tokens-left-out'
    | 'tokens-kept'
    | 'caches-on-host'
    | 'kernels-on-host';
  readonly reason: string;
}

/** What an evaluation will do, before it does it. */
export interface EvaluationPlan {
  /** Cells wanted, and how many of them are known already. */
  readonly cells: number;
  readonly cachedCells: number;
  /** Image and text states among the cells to be run. */
  readonly imageStates: number;
  readonly textStates: number;
  /**
   * Passes through the language model: one prefix per image state, one suffix per cell; of a dual encoder,
   * per text state.
   */
  readonly prefixes: number;
  readonly suffixes: number;
  /** Whether prefixes' caches stay in the provider's memory. */
  readonly onDevice: boolean;
  /** Whether pixels are masked and logits scored there, by the CUDA plugin. */
  readonly deviceKernels: boolean;
  readonly prefixTokens: number;
  readonly suffixTokens: number;
  /**
   * Suffixes as they are run: the runs, their tokens with the padding among them, and the tokens that they
   * would have with removed ones in place.
   */
  readonly suffixWork: {
    readonly runs: number;
    readonly tokens: number;
    readonly padding: number;
    readonly withRemoved: number;
  };
  readonly groups: number;
  /** Worker threads that fit into the budget side by side. */
  readonly workers: number;
  readonly batches: { readonly vision: number; readonly prefix: number; readonly suffix: number };
  /** Estimated floating-point operations; undefined where the model's costs are not known. */
  readonly flops:
    | {
        readonly vision: number;
        readonly prefix: number;
        readonly suffix: number;
        readonly total: number;
        /** The same cells as one full pass each, every image state encoded once. */
        readonly unshared: number;
        /** The same cells with one encoding and one full pass each. */
        readonly naive: number;
      }
    | undefined;
  /**
   * Estimated bytes beside the model's weights: of one worker at its largest, of all workers (0 when nothing
   * is to be run), the budget that they were planned for and the smallest one that would do.
   */
  readonly bytes: {
    readonly worker: number;
    readonly peak: number;
    readonly budget: number;
    readonly least: number;
  };
  readonly fallbacks: readonly Fallback[];
}

/** Whether one of the fallbacks is of this kind. */
export function fellBack(fallbacks: readonly Fallback[], wanted: Fallback['code']): boolean {
  return fallbacks.some(({ code }) => code === wanted);
}
