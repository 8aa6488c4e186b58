import type { Attribution, PlayerTruth } from '../cells/attribution.js';
import type { CellScores, EvaluateOptions } from '../cells/scores.js';
import type { CellTable } from '../cells/table.js';
import type { PreparedSample } from '../vlm/types.js';

/** What of a sample's ground truth says whether a control can be made. */
export interface SampleTruth {
  readonly boxes: readonly unknown[];
  readonly words: readonly unknown[];
  readonly distractors?: readonly unknown[];
}

/** Which sample it is: what scores that were made elsewhere are found by. */
export interface SampleIdentity {
  readonly dataset: string;
  /** Unique within the dataset. */
  readonly sample: string;
}

/** What an explainer may use on one sample. */
export interface ExplainContext {
  readonly sample: PreparedSample;
  /** Absent where a sample was prepared by hand and belongs to no dataset. */
  readonly identity?: SampleIdentity;
  /** Present only where the dataset knows it; only Oracle and Anti-Oracle may look. */
  readonly truth?: PlayerTruth;
  /**
   * Derived from the run's seed, the sample and the explainer: the same in every run, different for every
   * sample.
   */
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Scores cells through the run's shared cache. */
  evaluate(cells: CellTable, options?: EvaluateOptions): Promise<CellScores>;
}

/**
 * A method that assigns importance to the players of a sample. Adding one is one file: named by its path, or
 * one line in the registry.
 */
export interface Explainer {
  /** Stable name used on the command line and in results, for example `random` or `attn-lrp`. */
  readonly name: string;
  /** What a person reads in tables. */
  readonly title: string;
  /** The paper that defines it, or what it is for when it is a control. */
  readonly reference: string;
  readonly needsTruth: boolean;
  /**
   * Whether it points at something on a sample: a benchmark makes no row where it does not. Everywhere
   * without this.
   */
  appliesTo?(truth: SampleTruth | undefined): boolean;
  /** Not part of `all`, because it costs many times what others do. */
  readonly byNameOnly?: boolean;
  /** Content hash of its code where that is no part of fsyn; enters the keys of results. */
  readonly fingerprint?: string;
  /**
   * Content hash of what it says about one sample, where that is read and not computed; enters the keys of
   * results.
   */
  fingerprintOf?(identity: SampleIdentity): string | undefined;
  /**
   * Called once before any work with all samples that will be asked for.
   *
   * @throws FsynError for what cannot be explained, all of it named
   */
  require?(samples: readonly SampleIdentity[]): Promise<void>;
  /** Ends what it holds open, a process for example; called when a run ends, however it ends. */
  close?(): Promise<void>;
  /**
   * The cells that it asks for, where they depend on the numbers of players only; for plans made before any
   * work.
   */
  cells?(imagePlayers: number, textPlayers: number): CellTable;
  attribute(context: ExplainContext): Promise<Attribution>;
}
