import { intAttribute } from './attributes.js';
import type { OnnxGraph } from './graph.js';
import type { NodeProto } from './protobuf.js';
import { operatorName } from './queries.js';

/** The constant matrix that an operator multiplies every row of its input with. */
export interface ConstantProduct {
  /** Extent that is summed over. */
  readonly inner: number;
  /** Weights that a row meets. */
  readonly size: number;
  /** A convolution uses every weight once per output position. */
  readonly convolution: boolean;
}

/** Where products take their weights: the inputs that may be the constant, in order of preference. */
const OPERANDS: Readonly<Record<string, readonly number[]>> = {
  MatMul: [1, 0],
  Gemm: [1, 0],
  MatMulInteger: [1, 0],
  QLinearMatMul: [3, 0],
  Einsum: [1, 0],
  'com.microsoft::FusedMatMul': [1, 0],
  'com.microsoft::TransposeMatMul': [1, 0],
  'com.microsoft::FusedGemm': [1, 0],
  'com.microsoft::GemmFastGelu': [1],
  'com.microsoft::GemmFloat8': [1],
  'com.microsoft::MatMulInteger16': [1, 0],
  'com.microsoft::MatMulIntegerToFloat': [1],
  'com.microsoft::DynamicQuantizeMatMul': [1],
  'com.microsoft::QGemm': [3],
  'com.microsoft::QOrderedMatMul': [2],
  'com.microsoft::Attention': [1],
  'com.microsoft::QAttention': [1],
  'com.microsoft::PackedAttention': [1],
  'com.microsoft::LongformerAttention': [1],
};

const CONVOLUTIONS: Readonly<Record<string, number>> = {
  Conv: 1,
  ConvInteger: 1,
  ConvTranspose: 1,
  DeformConv: 1,
  QLinearConv: 3,
  'com.microsoft::QLinearConv': 3,
  'com.microsoft::FusedConv': 1,
  'com.microsoft::NhwcConv': 1,
  'com.microsoft::NhwcFusedConv': 1,
};

/** Products whose weights are packed, so that only attributes tell their extents. */
const PACKED = new Set([
  'com.microsoft::MatMulNBits',
  'com.microsoft::MatMulBnb4',
  'com.microsoft::MatMulFpQ4',
]);

/** Operators outside of ONNX that take constant tables or vectors without multiplying by them. */
const NO_PRODUCTS = new Set([
  'BiasAdd',
  'BiasDropout',
  'BiasGelu',
  'BiasSoftmax',
  'BiasSplitGelu',
  'DecoderMaskedMultiHeadAttention',
  'DecoderMaskedSelfAttention',
  'DequantizeLinear',
  'EmbedLayerNormalization',
  'FastGelu',
  'GatherBlockQuantized',
  'GemmaRotaryEmbedding',
  'GroupNorm',
  'GroupQueryAttention',
  'MultiHeadAttention',
  'PagedAttention',
  'QEmbedLayerNormalization',
  'QLinearAdd',
  'QLinearConcat',
  'QLinearMul',
  'QLinearWhere',
  'QuantizeLinear',
  'RelativePositionBias',
  'RotaryEmbedding',
  'SimplifiedLayerNormalization',
  'SkipGroupNorm',
  'SkipLayerNormalization',
  'SkipSimplifiedLayerNormalization',
  'SparseAttention',
]);

/**
 * The constant product that a node computes; undefined where it is none. An operator of another domain that
 * is not known at all counts as a product with its largest constant matrix, so that work is never estimated
 * as nothing.
 *
 * @param outer graphs around a subgraph, whose constants it may use
 */
export function constantProduct(
  graph: OnnxGraph,
  node: NodeProto,
  outer: readonly OnnxGraph[] = [],
): ConstantProduct | undefined {
  const name = operatorName(node.opType, node.domain);
  const scope = [graph, ...outer];
  const shapeAt = (index: number) => weightShape(scope, node.input[index] ?? '');
  if (PACKED.has(name)) {
    const [inner, columns] = [intAttribute(node, 'K', 0), intAttribute(node, 'N', 0)];
    return inner > 0 && columns > 0 ? { inner, size: inner * columns, convolution: false } : undefined;
  }
  const kernel = Object.hasOwn(CONVOLUTIONS, name) ? shapeAt(CONVOLUTIONS[name]) : undefined;
  if (kernel !== undefined) return { inner: kernel[0] ?? 0, size: sizeOf(kernel), convolution: true };
  for (const index of Object.hasOwn(OPERANDS, name) ? OPERANDS[name] : []) {
    const shape = shapeAt(index);
    if (shape !== undefined && shape.length >= 1) return matrix(node, shape, index === 0);
  }
  if (Object.hasOwn(OPERANDS, name) || Object.hasOwn(CONVOLUTIONS, name)) return undefined;
  return unknownProduct(node, shapeAt);
}

/** @param left whether the constant stands on the left of the product */
function matrix(node: NodeProto, shape: readonly number[], left: boolean): ConstantProduct {
  const swapped = intAttribute(node, left ? 'transA' : 'transB', 0) === 1;
  const fromEnd = left !== swapped ? 1 : Math.min(2, shape.length);
  return { inner: shape[shape.length - fromEnd], size: sizeOf(shape), convolution: false };
}

function unknownProduct(
  node: NodeProto,
  shapeAt: (index: number) => readonly number[] | undefined,
): ConstantProduct | undefined {
  const standard = operatorName(node.opType, node.domain) === node.opType;
  if (standard || NO_PRODUCTS.has(node.opType)) return undefined;
  const shapes = node.input.map((_, index) => shapeAt(index)).filter((shape) => shape !== undefined);
  const [largest] = shapes.filter((shape) => shape.length >= 2).sort((a, b) => sizeOf(b) - sizeOf(a));
  if (largest === undefined) return undefined;
  return { inner: largest[largest.length - 2], size: sizeOf(largest), convolution: false };
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Shape of a constant, also one that is dequantised, cast or transposed when the session opens. */
function weightShape(scope: readonly OnnxGraph[], name: string): number[] | undefined {
  for (const graph of name === '' ? [] : scope) {
    const shape = graph.constantShape(name);
    if (shape !== undefined) return shape;
    const producer = graph.producerOf(name);
    if (producer === undefined) continue;
    const before = () => weightShape(scope, producer.input[0] ?? '');
    if (KEEPING.has(producer.opType)) return before();
    if (producer.opType !== 'Transpose') return undefined;
    const given = before();
    const perm = producer.attribute.find((item) => item.name === 'perm')?.ints.map(Number);
    return given && (perm === undefined ? given.reverse() : perm.map((axis) => given[axis]));
  }
  return undefined;
}

/** Operators whose result has the shape of their first input, as they stand before weights. */
const KEEPING = new Set(['Identity', 'Cast', 'CastLike', 'DequantizeLinear', 'QuantizeLinear', 'Dropout']);
