import { fromHalf } from '../float16.js';
import { createMessage, type TensorProto } from './protobuf.js';

/** Element types of ONNX tensors (TensorProto.DataType). */
export const DataType = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  uint4: 21,
  int4: 22,
} as const;

/** Element types of half precision. */
export const HALF: ReadonlySet<number> = new Set([DataType.float16, DataType.bfloat16]);

const NAMES = new Map<number, string>(Object.entries(DataType).map(([name, code]) => [code, name]));

/** Name of an element type as the sessions use it, for example `float32`. */
export function dataTypeName(code: number): string {
  return NAMES.get(code) ?? `type ${code}`;
}

/** Code of an element type by its name; undefined when there is none. */
export function dataTypeCode(name: string): number | undefined {
  return DataType[name as keyof typeof DataType];
}

export function isFloating(code: number | undefined): boolean {
  return (
    code === DataType.float32 ||
    code === DataType.float16 ||
    code === DataType.float64 ||
    code === DataType.bfloat16
  );
}

/** A constant tensor over the given bytes (little-endian, row-major). */
export function tensor(
  name: string,
  dataType: number,
  dims: readonly number[],
  data: ArrayBufferView,
): TensorProto {
  return createMessage('TensorProto', {
    name,
    dataType,
    dims: dims.map(BigInt),
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
}

/** An int64 tensor; a vector unless `dims` says otherwise (`[]` is a scalar). */
export function int64Tensor(
  name: string,
  values: readonly number[],
  dims: readonly number[] = [values.length],
): TensorProto {
  return tensor(name, DataType.int64, dims, BigInt64Array.from(values, BigInt));
}

/** A float32 tensor; a scalar unless `dims` says otherwise. */
export function float32Tensor(
  name: string,
  values: readonly number[],
  dims: readonly number[] = [],
): TensorProto {
  return tensor(name, DataType.float32, dims, Float32Array.from(values));
}

export function dimensions(proto: TensorProto): number[] {
  return proto.dims.map(Number);
}

export function isExternal(proto: TensorProto): boolean {
  return proto.dataLocation === 1;
}

/** A key of an external tensor's `external_data` list. */
export function externalEntry(proto: TensorProto, key: string): string | undefined {
  return proto.externalData.find((entry) => entry.key === key)?.value;
}

/**
 * The values of an inline numeric tensor as numbers (int64 above 2^53 is rounded); undefined when it is
 * external or not numeric.
 */
export function tensorValues(proto: TensorProto): number[] | undefined {
  if (isExternal(proto)) return undefined;
  const count = dimensions(proto).reduce((product, d) => product * d, 1);
  if (proto.rawData.length > 0) return rawValues(proto.dataType, proto.rawData);
  if (count === 0) return [];
  if (proto.floatData.length > 0) return Array.from(proto.floatData);
  if (proto.doubleData.length > 0) return Array.from(proto.doubleData);
  if (proto.int64Data.length > 0) return proto.int64Data.map(Number);
  if (proto.uint64Data.length > 0) return proto.uint64Data.map(Number);
  if (proto.int32Data.length > 0)
    return proto.dataType === DataType.float16 ? proto.int32Data.map(fromHalf) : Array.from(proto.int32Data);
  return undefined;
}

function rawValues(dataType: number, bytes: Uint8Array): number[] | undefined {
  // A copy, because a view into a file buffer need not be aligned for the element type.
  const buffer = new Uint8Array(bytes).buffer;
  switch (dataType) {
    case DataType.float32:
      return Array.from(new Float32Array(buffer));
    case DataType.float64:
      return Array.from(new Float64Array(buffer));
    case DataType.int64:
      return Array.from(new BigInt64Array(buffer), Number);
    case DataType.uint64:
      return Array.from(new BigUint64Array(buffer), Number);
    case DataType.int32:
      return Array.from(new Int32Array(buffer));
    case DataType.uint32:
      return Array.from(new Uint32Array(buffer));
    case DataType.int16:
      return Array.from(new Int16Array(buffer));
    case DataType.uint16:
      return Array.from(new Uint16Array(buffer));
    case DataType.int8:
      return Array.from(new Int8Array(buffer));
    case DataType.uint8:
    case DataType.bool:
      return Array.from(new Uint8Array(buffer));
    case DataType.float16:
      return Array.from(new Uint16Array(buffer), fromHalf);
    default:
      return undefined;
  }
}
