import type { EstimatorName } from '../../lib/interactions/index.js';
import type { Family } from './interactions-games.js';

/** One estimate of one game. */
export interface Row {
  readonly family: Family;
  readonly game: number;
  readonly estimator: EstimatorName;
  readonly budget: number;
  readonly coalitions: number;
  readonly imageStates: number;
  /** Squared error of the cross-modal pairs of SII over the sum of their squares. */
  readonly error: number;
}
