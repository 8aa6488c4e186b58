import { intAttribute } from './attributes.js';
import { OnnxGraph } from './graph.js';
import type { NodeProto } from './protobuf.js';
import { isConstant, operatorName } from './queries.js';

/** Operators that round what is computed to integers, or take such integers. */
const QUANTIZED = new Set([
  'DynamicQuantizeLinear',
  'MatMulInteger',
  'ConvInteger',
  'QLinearMatMul',
  'QLinearConv',
  'com.microsoft::DynamicQuantizeMatMul',
  'com.microsoft::DynamicQuantizeLSTM',
  'com.microsoft::MatMulIntegerToFloat',
  'com.microsoft::MatMulInteger16',
  'com.microsoft::QAttention',
  'com.microsoft::QEmbedLayerNormalization',
  'com.microsoft::QGemm',
  'com.microsoft::QLinearConv',
  'com.microsoft::QOrderedMatMul',
  'com.microsoft::QOrderedAttention',
  'com.microsoft::QOrderedLongformerAttention',
]);

/** MatMulNBits rounds its input to 8 bits from this accuracy level on. */
const INTEGER_ACCURACY = 4;

/**
 * The operators by which a graph rounds activations to integers, sorted, subgraphs included; weights that are
 * stored as integers do not count. With a scale of the whole tensor, a value then depends on all that shares
 * the tensor, and with any scale a difference of one rounding may become one of a whole step.
 */
export function activationQuantizers(graph: OnnxGraph): string[] {
  const found = new Set<string>();
  for (const node of graph.nodes) {
    const name = quantizerName(graph, node);
    if (name !== undefined) found.add(name);
    for (const { g, graphs } of node.attribute) {
      for (const body of g ? [g, ...graphs] : graphs) {
        for (const inner of activationQuantizers(new OnnxGraph(body))) found.add(inner);
      }
    }
  }
  return [...found].sort();
}

function quantizerName(graph: OnnxGraph, node: NodeProto): string | undefined {
  const name = operatorName(node.opType, node.domain);
  if (QUANTIZED.has(name)) return node.opType;
  if (node.opType === 'QuantizeLinear' || name === 'com.microsoft::QuantizeLinear') {
    return isConstant(graph, node.input[0]) ? undefined : node.opType;
  }
  const level = name === 'com.microsoft::MatMulNBits' ? intAttribute(node, 'accuracy_level', 0) : 0;
  return level >= INTEGER_ACCURACY ? `MatMulNBits of accuracy_level ${level}` : undefined;
}
