/**
 * fsyn: synergistic faithfulness of VLM explainers.
 *
 * Load a model, prepare a sample, explain it, evaluate the explanation. Interaction indices of any
 * cooperative game are in `fsyn/interactions`, gradients of ONNX graphs in `fsyn/onnx`.
 *
 * @module
 */

export type { Attribution, PlayerTruth, WordRegions } from './cells/attribution.js';
export type { CornerValues } from './cells/corners.js';
export type { CellScores } from './cells/scores.js';
export { CellTable } from './cells/table.js';
export { cellValues, type Scoring } from './cells/values.js';
export { type ErrorCode, FsynError } from './errors.js';
export { atman } from './explainers/atman.js';
export { type AttnLrpOptions, attnLrp } from './explainers/attn-lrp.js';
export { type FixlipOptions, fixlip } from './explainers/fixlip.js';
export { type GradCamOptions, gradCam } from './explainers/grad-cam.js';
export {
  type ExternalAttribution,
  type ImportedExplainerOptions,
  type ImportOptions,
  importAttribution,
  importedExplainer,
  readAttribution,
} from './explainers/imported.js';
export { inputXGradient } from './explainers/input-x-gradient.js';
export { type IntegratedGradientsOptions, integratedGradients } from './explainers/integrated-gradients.js';
export { type LlavaCamOptions, llavaCam } from './explainers/llava-cam.js';
export { loadExplainers } from './explainers/module.js';
export { asPublished, explainers, findExplainers } from './explainers/registry.js';
export { type ShapleyValueOptions, shapley } from './explainers/shapley.js';
export type { ExplainContext, Explainer } from './explainers/types.js';
export { limitWhiteBoxMemory, releaseWhiteBoxSessions, type Target } from './explainers/white-box/model.js';
export type { ProductOptions, Reference } from './explainers/white-box/reference.js';
export { CoalitionEvaluator, type EvaluatedCells, type EvaluatorOptions } from './inference/evaluator.js';
export type { ModelMetadata } from './inference/native.js';
export type { EvaluationPlan, Fallback } from './inference/plan.js';
export type { EvaluatorProgram } from './inference/program.js';
export { type InferenceFacts, inferenceFacts } from './inference/runtime.js';
export {
  type RunOptions,
  Session,
  type SessionOptions,
  type TensorInfo,
  type TensorValue,
} from './inference/session.js';
export { type ElementType, NativeTensor } from './inference/tensor.js';
export {
  type EvaluateAttributionOptions,
  type ExplainOptions,
  evaluate,
  explain,
} from './measure/evaluate.js';
export {
  defaultFaithfulness,
  type FaithfulnessOptions,
  type FaithfulnessRequest,
  type FaithfulnessResult,
  requestFaithfulness,
  scoreFaithfulness,
} from './metrics/faithfulness.js';
export type { PerturbationResult } from './metrics/perturbation.js';
export type { ShapleyOptions, ShapleyResult } from './metrics/shapley.js';
export type { SynergyAuc, SynergyResult } from './metrics/synergy.js';
export { decodeImage } from './vlm/images/decode.js';
export { type LoadVlmOptions, loadVlm } from './vlm/load.js';
export { mapTruth, type RegionsAndWords } from './vlm/truth.js';
export type {
  Answer,
  ImagePlayers,
  PreparedSample,
  PrepareOptions,
  RgbImage,
  TextPlayers,
  Vlm,
  WhiteBox,
} from './vlm/types.js';
