import { copyAttributes, intAttribute } from '../attributes.js';
import { externalRange } from '../model.js';
import { createMessage } from '../protobuf.js';
import { DataType, externalEntry, isExternal } from '../tensors.js';
import { type BackwardBuilder, unsupported } from './builder.js';
import { gammaGradient } from './gamma.js';
import { type RuleContext, type Rules, unary } from './rule.js';

/**
 * The weight of a MatMulNBits as a matrix [N, K]: its bytes declared as 4-bit numbers (both keep the first in the low
 * half of a byte) and dequantised in the graph.
 */
function dequantisedWeight(context: RuleContext): string {
  const { node, builder } = context;
  const [, bytes, scales, zeroPoints] = node.input as [string, string, string, string?];
  const [rows, columns] = [intAttribute(node, 'N', 0), intAttribute(node, 'K', 0)];
  const block = intAttribute(node, 'block_size', 0);
  // The last block of a row is filled up with numbers that the product does not read.
  const blocks = Math.ceil(columns / block);
  if (intAttribute(node, 'bits', 4) !== 4) throw unsupported(node, 'only 4-bit weights have a rule');
  if (node.input[4]) throw unsupported(node, 'its weights are regrouped (g_idx)');
  const graph = builder.graph;
  const zeroType = zeroPoints ? graph.initializers.get(zeroPoints)?.dataType : undefined;
  if (zeroPoints && zeroType !== DataType.uint8)
    throw unsupported(node, 'its zero points are not constant packed 4-bit numbers');
  const redeclare = (source: string, suffix: string, dataType: number, dims: number[]): string => {
    const item = graph.initializers.get(source);
    if (!item) throw unsupported(node, `${source} is not a constant`);
    const copy = createMessage('TensorProto', {
      name: graph.uniqueName(`${source}/${suffix}`),
      dataType,
      dims: dims.map(BigInt),
      floatData: item.floatData,
      int32Data: item.int32Data,
    });
    if (isExternal(item)) {
      copy.dataLocation = 1;
      const offset = Number(externalEntry(item, 'offset') ?? 0);
      const length = Number(externalEntry(item, 'length') ?? 0);
      copy.externalData = externalRange(externalEntry(item, 'location') ?? '', offset, length);
    } else if (item.rawData.length > 0) copy.rawData = item.rawData;
    return graph.addInitializer(copy);
  };
  builder.minimumOpset = 21;
  return builder.once(`dequantised ${bytes}`, () => {
    const scaleType = graph.initializers.get(scales)?.dataType ?? DataType.float32;
    // Each row of zero points fills whole bytes.
    const even = 2 * Math.ceil(blocks / 2);
    const zero = zeroPoints
      ? withoutPadding(builder, redeclare(zeroPoints, 'uint4', DataType.uint4, [rows, even]), blocks, even)
      : graph.addInitializer(
          createMessage('TensorProto', {
            name: graph.uniqueName(`${bytes}/zero`),
            dataType: DataType.uint4,
            dims: [BigInt(rows), BigInt(blocks)],
            rawData: new Uint8Array(Math.ceil((rows * blocks) / 2)).fill(0x88),
          }),
        );
    const weight = redeclare(bytes, 'uint4', DataType.uint4, [rows, blocks * block]);
    const scale = redeclare(scales, 'rows', scaleType, [rows, blocks]);
    const whole = builder.op('DequantizeLinear', [weight, scale, zero], { axis: 1, block_size: block });
    if (blocks * block === columns) return whole;
    return builder.op('Slice', [whole, builder.int64([0]), builder.int64([columns]), builder.int64([1])]);
  });
}

/** The first columns of a matrix of 4-bit numbers, which the runtime slices only as bytes. */
function withoutPadding(builder: BackwardBuilder, packed: string, columns: number, all: number): string {
  if (columns === all) return packed;
  const bytes = builder.op('Cast', [packed], { to: DataType.uint8 });
  const range = [0, columns, 1].map((value) => builder.int64([value]));
  const kept = builder.op('Slice', [bytes, ...range]);
  return builder.op('Cast', [kept], { to: DataType.uint4 });
}

export const contribRules: Rules = {
  // A rotation: its transpose is the rotation by the opposite angle.
  RotaryEmbedding: unary((g, _x, _y, { builder, node }) => {
    if (node.domain !== 'com.microsoft') throw unsupported(node, 'decompose it first');
    const [, positions, cosine, sine] = node.input as [string, string, string, string];
    const opposite = builder.once(`negated ${sine}`, () => builder.neg(sine));
    return builder.op('RotaryEmbedding', [g, positions, cosine, opposite], copyAttributes(node), node.domain);
  }),
  MatMulNBits: unary((gradient, input, _y, context) => {
    const { builder, node } = context;
    const weight = dequantisedWeight(context);
    const backward = (g: string, w: string) => builder.op('MatMul', [g, w]);
    const gamma = context.gammaOf('linear', node.input[1]);
    if (gamma === 0) return backward(gradient, weight);
    const forward = (x: string, w: string) => builder.fusedMatMul(x, w, false, true);
    // The kernel may round activations to 8 bits, so the product of the weights as they are is computed again.
    const map = { input, weight, gradient, result: undefined, alpha: 1, forward, backward };
    return gammaGradient(context, map, gamma);
  }),
};
