import { resolveOptions } from '../options.js';

/**
 * Log-probabilities (natural log, float32 arithmetic of the model) of answer tokens on cells, or
 * similarities.
 */
export interface CellScores {
  /**
   * `[cells]`: the value of every cell where the model gives no probability: CLIP's cosine of image and
   * caption, in [-1, 1]. `logProbabilities` is then empty.
   */
  readonly similarities?: Float64Array;
  /** [cells, tokens], row-major, in the order of the table's cells. */
  readonly logProbabilities: Float64Array;
  /**
   * Where scores are known only within bounds - a server that gives the likeliest tokens alone: both ends,
   * [cells, tokens], natural log, equal where a score is known, -Infinity for a probability that may be 0.
   * `logProbabilities` then has the middle of the two probabilities. Absent where all are known.
   */
  readonly bounds?: { readonly lower: Float64Array; readonly upper: Float64Array };
  /**
   * Standard deviation, in nats, of a score when the same cell is asked for again; absent where it is the
   * same.
   */
  readonly noise?: number;
  readonly tokens: number;
  /** Column of the decision token. */
  readonly decision: number;
  /** Cells whose scores came from the store that was given. */
  readonly found?: number;
  /** Batches that did not fit into memory and were halved on the way; absent where batches cannot be. */
  readonly halvings?: readonly BatchHalving[];
}

/**
 * Scores of cells that outlive the process, by content: `program` names all that decides a score besides the
 * cell, `cell` the players present.
 */
export interface CellStore {
  /** Scores of a cell by answer token; undefined where they are not known. */
  find(program: string, cell: string): Float64Array | undefined;
  /** Takes the scores of cells as soon as they are computed; [cells, tokens], row-major. Must not throw. */
  keep(program: string, cells: readonly string[], scores: Float64Array): void;
}

export interface EvaluateOptions {
  readonly signal?: AbortSignal;
  /** Where scores are looked up before they are computed, and kept afterwards. */
  readonly store?: CellStore;
  /** Called with the number of cells done and wanted. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A batch that was cut for want of memory: images or sequences before and after. */
export interface BatchHalving {
  readonly stage: 'vision' | 'prefix' | 'suffix';
  readonly from: number;
  readonly to: number;
}

/** Fills in the options of `evaluate` and rejects an aborted signal. */
export function resolveEvaluateOptions(given: EvaluateOptions | undefined): EvaluateOptions {
  const options = resolveOptions<EvaluateOptions>('evaluate', evaluateDefaults, given);
  options.signal?.throwIfAborted();
  return options;
}

const evaluateDefaults: EvaluateOptions = { signal: undefined, store: undefined, onProgress: undefined };
