/**
 * fsyn/interactions: interaction indices of cooperative games, exact and estimated. Needs no vision-language
 * model.
 *
 * @module
 */
export { FsynError } from '../errors.js';
export { type BatchValues, CoalitionBatch, type ValueFunction } from './coalitions.js';
export { type CudaFacts, cudaFacts, type Device } from './device.js';
export { type EstimatedIndex, type EstimatorName, estimatorsOf } from './estimators/catalogue.js';
export { type EstimateFromOptions, estimate, estimateFrom } from './estimators/estimate.js';
export type { Coalitions } from './estimators/given.js';
export { type EstimatePairOptions, estimatePair, type PairEstimate } from './estimators/nested.js';
export type { EstimateOptions } from './estimators/settings.js';
export {
  type IndexName,
  type InteractionOptions,
  indexNames,
  interactions,
  interactionsSync,
} from './exact.js';
export type { Interaction } from './interaction.js';
export { InteractionSet } from './interaction-set.js';
export type { InteractionsJson } from './json.js';
export { type LeastCore, leastCoreSync } from './least-core.js';
export { type KernelFacts, kernelFacts, type TableValues } from './native.js';
export { type UnanimityPart, UnanimitySum } from './oracle-games.js';
export { interactionsSvg, type PictureOptions } from './picture.js';
export { type CrossPairs, type Player, type PlayerList, Players } from './players.js';
export type { Provenance, Spending } from './provenance.js';
export { Interactions } from './result.js';
export {
  type AsyncOptions,
  type TransformKind,
  type TransformOptions,
  transform,
  transformSync,
} from './transforms.js';
export {
  type EvaluateTableOptions,
  maxTablePlayers,
  ValueTable,
  type ValueTableJson,
} from './value-table.js';
