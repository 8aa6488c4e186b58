import ndarray, { type NdArray } from 'ndarray';
import { addon, type NativeHandle, type TensorData } from '../addon/addon.js';
import { FsynError } from '../errors.js';

/** Element types of model inputs and outputs; float16 and bfloat16 travel as bits in a Uint16Array. */
export type ElementType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'uint64'
  | 'int32'
  | 'uint32'
  | 'int16'
  | 'uint16'
  | 'int8'
  | 'uint8'
  | 'bool'
  | 'string'
  | 'unsupported';

type ArrayClass = { new (length: number): TensorData; readonly BYTES_PER_ELEMENT: number };

const TYPES: Readonly<Record<number, { name: ElementType; array: ArrayClass | undefined }>> = {
  1: { name: 'float32', array: Float32Array },
  2: { name: 'uint8', array: Uint8Array },
  3: { name: 'int8', array: Int8Array },
  4: { name: 'uint16', array: Uint16Array },
  5: { name: 'int16', array: Int16Array },
  6: { name: 'int32', array: Int32Array },
  7: { name: 'int64', array: BigInt64Array },
  8: { name: 'string', array: undefined },
  9: { name: 'bool', array: Uint8Array },
  10: { name: 'float16', array: Uint16Array },
  11: { name: 'float64', array: Float64Array },
  12: { name: 'uint32', array: Uint32Array },
  13: { name: 'uint64', array: BigUint64Array },
  16: { name: 'bfloat16', array: Uint16Array },
};

/** Name of ONNX's element type number. */
export function elementTypeName(type: number): ElementType {
  return TYPES[type]?.name ?? 'unsupported';
}

/** The typed array class that carries an element type; undefined for strings and packed types. */
export function arrayClass(type: number): ArrayClass | undefined {
  return TYPES[type]?.array;
}

/** Any typed array as an ndarray of the given shape. */
export type TensorArray = NdArray<TensorData>;

export function toNdArray(data: TensorData, shape: readonly number[]): TensorArray {
  return ndarray(data, [...shape]) as TensorArray;
}

/** The values in row-major order: the array itself when it is laid out so, else a packed copy. */
export function packed(array: TensorArray): TensorData {
  const { data, shape, stride, offset, size } = array;
  let expected = 1;
  let dense = true;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== expected) dense = false;
    expected *= shape[axis];
  }
  if (dense) return offset === 0 && data.length === size ? data : data.subarray(offset, offset + size);
  const copy = data.slice(0, 0).constructor as ArrayClass;
  const result = new copy(size);
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0; i < size; i++) {
    let position = offset;
    for (let axis = 0; axis < shape.length; axis++) position += index[axis] * stride[axis];
    result[i] = data[position];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
  return result;
}

/**
 * An output that stays in native memory (option `keep` of `Session.run`): feeds it to further runs without a
 * copy. Disposing frees the memory once no run uses it any more; an undisposed one is freed by the garbage
 * collector.
 */
export class NativeTensor {
  readonly shape: readonly number[];
  readonly elementType: ElementType;
  readonly #handle: NativeHandle;
  readonly #type: number;

  /** @internal made by `Session.run` */
  constructor(handle: NativeHandle, type: number, shape: readonly number[]) {
    this.#handle = handle;
    this.#type = type;
    this.shape = shape;
    this.elementType = elementTypeName(type);
  }

  /** @internal */
  get handle(): NativeHandle {
    return this.#handle;
  }

  /** @internal ONNX's element type number */
  get type(): number {
    return this.#type;
  }

  /** A copy of the values. @throws FsynError DISPOSED */
  toNdArray(): TensorArray {
    if (arrayClass(this.#type) === undefined) {
      throw new FsynError(
        'INVALID_ARGUMENT',
        `A tensor of type ${this.elementType} cannot be read as numbers.`,
      );
    }
    return toNdArray(addon().readTensor(this.#handle), this.shape);
  }

  dispose(): void {
    addon().disposeTensor(this.#handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
