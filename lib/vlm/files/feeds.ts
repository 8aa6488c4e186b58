import { FsynError } from '../../errors.js';
import { fromHalfArray, toHalfArray } from '../../float16.js';
import type { TensorInfo } from '../../inference/session.js';
import { NativeTensor, type TensorArray, toNdArray } from '../../inference/tensor.js';

/** Float values as the input wants them: float32 as they are, float16 rounded. */
export function floatFeed(info: TensorInfo, values: Float32Array, shape: readonly number[]): TensorArray {
  if (info.elementType === 'float32') return toNdArray(values, shape);
  if (info.elementType === 'float16') return toNdArray(toHalfArray(values), shape);
  throw new FsynError(
    'MODEL_CONTRACT',
    `Expected float32 or float16 for input ${JSON.stringify(info.name)}; it is ${info.elementType}.`,
  );
}

/** Integer values as the input wants them: int64, int32 or bool. */
export function integerFeed(info: TensorInfo, values: Int32Array, shape: readonly number[]): TensorArray {
  switch (info.elementType) {
    case 'int64':
      return toNdArray(BigInt64Array.from(values, BigInt), shape);
    case 'int32':
      return toNdArray(values, shape);
    case 'bool':
      return toNdArray(Uint8Array.from(values), shape);
    default:
      throw new FsynError(
        'MODEL_CONTRACT',
        `Expected int64, int32 or bool for input ${JSON.stringify(info.name)}; it is ${info.elementType}.`,
      );
  }
}

/** An output's values as float32. */
export function floatValues(
  name: string,
  value: TensorArray | NativeTensor | undefined,
): { values: Float32Array; shape: readonly number[] } {
  const array = value instanceof NativeTensor ? value.toNdArray() : value;
  if (array?.data instanceof Float32Array) return { values: array.data, shape: array.shape };
  if (array?.data instanceof Uint16Array) return { values: fromHalfArray(array.data), shape: array.shape };
  throw new FsynError('MODEL_CONTRACT', `Expected float32 or float16 for output ${JSON.stringify(name)}.`);
}
