/**
 * Gradients, relevance, attention maps and hidden states of ordinary ONNX exports, and reading and editing
 * their graphs without copying their weights.
 *
 * @module
 */
export type { Gamma, Mode } from './autodiff/rule.js';
export { DifferentiableModel, type GradientResult, type LogitTarget } from './differentiable.js';
export type { DifferentiableOptions } from './extended.js';
export { OnnxGraph } from './graph.js';
export { type HeadSelection, selectLogits } from './head.js';
export type { Checkpoints, MemoryOptions } from './layouts.js';
export type { MemoryEstimate, PassMemory } from './memory.js';
export { OnnxModel } from './model.js';
export { operatorTypes } from './queries.js';
export { type ForwardPass, SplitModel, type SplitOptions } from './split.js';
export { TappedModel, type TappedOptions } from './tapped.js';
export { type BlockTap, transformerBlocks } from './taps.js';
export { DataType } from './tensors.js';
