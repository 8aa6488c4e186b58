import { intAttribute } from '../attributes.js';
import { externalRange } from '../model.js';
import { createMessage, type TensorProto } from '../protobuf.js';
import { DataType, externalEntry, float32Tensor, isExternal } from '../tensors.js';
import { unsupported } from './builder.js';
import type { RuleContext } from './rule.js';

/**
 * The weight of a MatMulNBits as a matrix [N, K], dequantised in the graph. Scales and zero points may be
 * computed, as those are that were widened from half precision; only the packed numbers must be a constant.
 */
export function matrixOfNBits(context: RuleContext): string {
  const { node, builder } = context;
  const bits = intAttribute(node, 'bits', 4);
  if (![2, 4, 8].includes(bits)) throw unsupported(node, `weights of ${bits} bits have no rule`);
  if (node.input[4]) throw unsupported(node, 'its weights are regrouped (g_idx)');
  const [, bytes, , zeroPoints] = node.input as [string, string, string, string?];
  const packedZeros = !zeroPoints || builder.graph.initializers.get(zeroPoints)?.dataType === DataType.uint8;
  return builder.once(`dequantised ${bytes}`, () =>
    withoutPadding(context, bits !== 2 && packedZeros ? declared(context, bits) : unpacked(context, bits)),
  );
}

interface Extents {
  readonly rows: number;
  readonly columns: number;
  readonly block: number;
  readonly blocks: number;
}

function extentsOf({ node }: RuleContext): Extents {
  const [rows, columns] = [intAttribute(node, 'N', 0), intAttribute(node, 'K', 0)];
  const block = intAttribute(node, 'block_size', 0);
  // The last block of a row is filled up with numbers that the product does not read.
  return { rows, columns, block, blocks: Math.ceil(columns / block) };
}

/** The bytes declared as 4-bit numbers (both keep the first in the low half of a byte), or as they are. */
function declared(context: RuleContext, bits: number): string {
  const { node, builder } = context;
  const { rows, block, blocks } = extentsOf(context);
  const [, bytes, scales, zeroPoints] = node.input as [string, string, string, string?];
  const type = bits === 4 ? DataType.uint4 : DataType.uint8;
  builder.minimumOpset = 21;
  // Each row of zero points fills whole bytes.
  const held = bits === 4 ? 2 * Math.ceil(blocks / 2) : blocks;
  const zero = zeroPoints
    ? firstColumns(context, redeclared(context, zeroPoints, type, [rows, held]), blocks, held)
    : builder.graph.addInitializer(
        createMessage('TensorProto', {
          name: builder.graph.uniqueName(`${bytes}/zero`),
          dataType: type,
          dims: [BigInt(rows), BigInt(blocks)],
          rawData: new Uint8Array(Math.ceil((rows * blocks * bits) / 8)).fill(bits === 4 ? 0x88 : 0x80),
        }),
      );
  const weight = redeclared(context, bytes, type, [rows, blocks * block]);
  const scale = builder.op('Reshape', [scales, builder.int64([rows, blocks])]);
  return builder.op('DequantizeLinear', [weight, scale, zero], { axis: 1, block_size: block });
}

/**
 * The same by arithmetic, for numbers that ONNX's operator does not take: of 2 bits, or with zero points that
 * are no integers.
 */
function unpacked(context: RuleContext, bits: number): string {
  const { node, builder } = context;
  const { rows, block, blocks } = extentsOf(context);
  const [, bytes, scales, zeroPoints] = node.input as [string, string, string, string?];
  const scale = builder.op('Reshape', [scales, builder.int64([rows, blocks, 1])]);
  const like = (name: string) => builder.op('CastLike', [name, scale]);
  const numbers = like(numbersOf(context, bytes, bits, [rows, blocks, block]));
  let zero = builder.scalarOf(2 ** (bits - 1), builder.dataType(scales));
  if (zeroPoints && builder.graph.initializers.get(zeroPoints)?.dataType === DataType.uint8) {
    const held = (8 / bits) * Math.ceil((blocks * bits) / 8);
    const all = numbersOf(context, zeroPoints, bits, [rows, held]);
    const kept = held === blocks ? all : sliced(context, all, blocks);
    zero = builder.unsqueeze(like(kept), [2]);
  } else if (zeroPoints) zero = builder.op('Reshape', [like(zeroPoints), builder.int64([rows, blocks, 1])]);
  const weight = builder.mul(builder.sub(numbers, zero), scale);
  return builder.op('Reshape', [weight, builder.int64([rows, blocks * block])]);
}

/** Numbers of few bits, the first of a byte in its lowest bits, as uint8 of the given shape. */
function numbersOf({ builder }: RuleContext, bytes: string, bits: number, shape: readonly number[]): string {
  const constant = (value: number) =>
    builder.graph.addInitializer(byteScalar(builder.graph.uniqueName('backward/byte'), value));
  const parts = Array.from({ length: 8 / bits }, (_, i) => {
    const shifted =
      i === 0 ? bytes : builder.op('BitShift', [bytes, constant(i * bits)], { direction: 'RIGHT' });
    const number = bits === 8 ? shifted : builder.op('Mod', [shifted, constant(2 ** bits)]);
    return builder.unsqueeze(number, [-1]);
  });
  return builder.op('Reshape', [builder.op('Concat', parts, { axis: -1 }), builder.int64(shape)]);
}

function byteScalar(name: string, value: number): TensorProto {
  return createMessage('TensorProto', {
    name,
    dataType: DataType.uint8,
    dims: [],
    rawData: Uint8Array.of(value),
  });
}

/** A constant of the same bytes that is declared to hold something else. */
function redeclared(context: RuleContext, source: string, dataType: number, dims: readonly number[]): string {
  const { graph } = context.builder;
  const item = graph.initializers.get(source);
  if (!item) throw unsupported(context.node, `${source} is not a constant`);
  const copy = createMessage('TensorProto', {
    name: graph.uniqueName(`${source}/${dataType}`),
    dataType,
    dims: dims.map(BigInt),
    int32Data: item.int32Data,
  });
  if (isExternal(item)) {
    copy.dataLocation = 1;
    const offset = Number(externalEntry(item, 'offset') ?? 0);
    const length = Number(externalEntry(item, 'length') ?? 0);
    copy.externalData = externalRange(externalEntry(item, 'location') ?? '', offset, length);
  } else if (item.rawData.length > 0) copy.rawData = item.rawData;
  return graph.addInitializer(copy);
}

/** The first columns of a matrix of 4-bit numbers, which the runtime slices only as bytes. */
function firstColumns(context: RuleContext, packed: string, columns: number, all: number): string {
  if (columns === all) return packed;
  const { builder } = context;
  const bytes = builder.op('Cast', [packed], { to: DataType.uint8 });
  return builder.op('Cast', [sliced(context, bytes, columns)], { to: DataType.uint4 });
}

function sliced({ builder }: RuleContext, matrix: string, columns: number): string {
  const range = [0, columns, 1].map((value) => builder.int64([value]));
  return builder.op('Slice', [matrix, ...range]);
}

function withoutPadding(context: RuleContext, whole: string): string {
  const { columns, block, blocks } = extentsOf(context);
  return blocks * block === columns ? whole : sliced(context, whole, columns);
}

/**
 * What the 16 numbers of a MatMulBnb4 stand for, in units of their block's largest magnitude (ONNX Runtime's
 * kernels).
 */
const CODES = {
  fp4: [
    0, 5.208333333e-3, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25, -0, -5.208333333e-3, -0.66666667, -1,
    -0.33333333, -0.5, -0.16666667, -0.25,
  ],
  nf4: [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ],
} as const;

/**
 * The weight of a MatMulBnb4 as a matrix [N, K]: two numbers a byte, the first in the high half, one scale
 * per block of all.
 */
export function matrixOfBnb4(context: RuleContext): string {
  const { node, builder } = context;
  const { graph } = builder;
  const [, bytes, scales] = node.input as [string, string, string];
  const { rows, columns, block } = extentsOf(context);
  if (intAttribute(node, 'transB', 1) !== 1) throw unsupported(node, 'its weight is not transposed');
  if ((rows * columns) % block !== 0) throw unsupported(node, 'its last block is not full');
  return builder.once(`dequantised ${bytes}`, () => {
    const [high, low] = [16, 1].map((divisor) => {
      const by = (value: number) =>
        graph.addInitializer(byteScalar(graph.uniqueName('backward/byte'), value));
      const shifted = divisor === 1 ? bytes : builder.op('Div', [bytes, by(divisor)]);
      return builder.unsqueeze(builder.op('Mod', [shifted, by(16)]), [-1]);
    }) as [string, string];
    const numbers = builder.op('Cast', [builder.op('Concat', [high, low], { axis: -1 })], {
      to: DataType.int64,
    });
    const codes = intAttribute(node, 'quant_type', 0) === 0 ? CODES.fp4 : CODES.nf4;
    const table = graph.addInitializer(
      float32Tensor(graph.uniqueName('backward/codes'), codes, [codes.length]),
    );
    const values = builder.op('Gather', [table, numbers], { axis: 0 });
    const shaped = builder.op('Reshape', [values, builder.int64([-1, block])]);
    const scale = builder.op('Reshape', [scales, builder.int64([-1, 1])]);
    return builder.op('Reshape', [builder.mul(shaped, scale), builder.int64([rows, columns])]);
  });
}
