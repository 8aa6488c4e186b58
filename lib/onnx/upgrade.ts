import { FsynError } from '../errors.js';
import { attributes, intsAttribute } from './attributes.js';
import type { OnnxModel } from './model.js';

/** Below this version Squeeze, ReduceSum and others are written differently. */
const OLDEST = 13;
const REDUCTIONS_18 = new Set([
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSumSquare',
]);

/**
 * Refuses a model whose operator set is too old to be edited.
 *
 * @throws FsynError `UNSUPPORTED_MODEL`
 */
export function requireEditableOpset(model: OnnxModel): void {
  const version = model.opset();
  if (version >= OLDEST) return;
  const message = `${model.source} uses ONNX operator set ${version}; at least ${OLDEST} is needed. Export it again.`;
  throw new FsynError('UNSUPPORTED_MODEL', message);
}

/** Raises the model's operator set to at least `version`, rewriting what changed on the way. */
export function upgradeOpset(model: OnnxModel, version: number): void {
  requireEditableOpset(model);
  const before = model.opset();
  if (before >= version) return;
  if (before < 18 && version >= 18) rewriteFor18(model);
  model.requireOpset('', version);
  // UINT4 tensors need IR version 10.
  const ir = version >= 21 ? 10n : 8n;
  if (model.proto.irVersion < ir) model.proto.irVersion = ir;
}

/** Version 18: reductions take their axes as an input; Split says how many parts it makes. */
function rewriteFor18(model: OnnxModel): void {
  const { graph } = model;
  for (const node of graph.nodes) {
    if (node.domain !== '' && node.domain !== 'ai.onnx') continue;
    if (REDUCTIONS_18.has(node.opType)) {
      const axes = intsAttribute(node, 'axes');
      if (axes && !node.input[1]) {
        node.attribute = node.attribute.filter((attribute) => attribute.name !== 'axes');
        node.input = [node.input[0], graph.addInt64('upgrade/axes', axes)];
      }
    } else if (node.opType === 'Split' && !node.input[1]) {
      node.attribute = [...node.attribute, ...attributes({ num_outputs: node.output.length })];
    }
  }
  graph.touch();
}
