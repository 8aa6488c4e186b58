import type { Attribution, PlayerTruth } from '../cells/attribution.js';
import type { CellScores, EvaluateOptions } from '../cells/scores.js';
import type { CellTable } from '../cells/table.js';
import type { PreparedSample } from '../vlm/types.js';

/** What an explainer may use on one sample. */
export interface ExplainContext {
  readonly sample: PreparedSample;
  /** Present only where the dataset knows it; only Oracle and Anti-Oracle may look. */
  readonly truth?: PlayerTruth;
  /** Derived from the run's seed, the sample and the explainer: the same in every run, different for every sample. */
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Scores cells through the run's shared cache. */
  evaluate(cells: CellTable, options?: EvaluateOptions): Promise<CellScores>;
}

/** A method that assigns importance to the players of a sample. Adding one is one file: named by its path, or one line in the registry. */
export interface Explainer {
  /** Stable name used on the command line and in results, for example `random` or `attn-lrp`. */
  readonly name: string;
  /** What a person reads in tables. */
  readonly title: string;
  /** The paper that defines it, or what it is for when it is a control. */
  readonly reference: string;
  readonly needsTruth: boolean;
  /** Not part of `all`, because it costs many times what others do. */
  readonly byNameOnly?: boolean;
  /** Content hash of its code where that is no part of fsyn; enters the keys of results. */
  readonly fingerprint?: string;
  /** The cells that it asks for, where they depend on the numbers of players only; for plans made before any work. */
  cells?(imagePlayers: number, textPlayers: number): CellTable;
  attribute(context: ExplainContext): Promise<Attribution>;
}
