import type { BlockTap } from './taps.js';

/** Inputs of an extended graph: chosen logit rows and columns, and the cotangent of the output. */
export const ROWS = 'logit_positions';
export const COLUMNS = 'logit_tokens';
export const SEED = 'gradient_seed';

/** What an extended graph computes. */
export interface Plan {
  readonly output: string;
  readonly wrt: readonly string[];
  readonly expose: readonly string[];
  readonly blocks: readonly BlockTap[];
  readonly selected: boolean;
  readonly attentions: boolean;
  readonly hiddenStates: boolean;
  readonly vocabulary: number | undefined;
}
