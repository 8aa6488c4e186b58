/**
 * Reading, querying and editing ONNX graphs without copying their weights.
 *
 * @module
 */
export { OnnxGraph } from './graph.js';
export { OnnxModel } from './model.js';
export { operatorTypes } from './queries.js';
export { DataType } from './tensors.js';
