import { FsynError } from '../errors.js';

/** An array from a .npy file. */
export interface NpyArray {
  readonly shape: readonly number[];
  /** Row-major values. */
  readonly values: Float64Array;
}

const READERS: Readonly<Record<string, { size: number; read: (view: DataView, at: number) => number }>> = {
  '<f4': { size: 4, read: (view, at) => view.getFloat32(at, true) },
  '<f8': { size: 8, read: (view, at) => view.getFloat64(at, true) },
  '>f4': { size: 4, read: (view, at) => view.getFloat32(at, false) },
  '>f8': { size: 8, read: (view, at) => view.getFloat64(at, false) },
  '<i4': { size: 4, read: (view, at) => view.getInt32(at, true) },
  '<i8': { size: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  '|i1': { size: 1, read: (view, at) => view.getInt8(at) },
  '|u1': { size: 1, read: (view, at) => view.getUint8(at) },
  '|b1': { size: 1, read: (view, at) => view.getUint8(at) },
};

/**
 * Parses the bytes of a .npy file (NumPy's format versions 1 to 3), floats and integers, C or Fortran order.
 *
 * @param name what messages call the file
 * @throws FsynError `ATTRIBUTION` for anything else
 */
export function parseNpy(bytes: Uint8Array, name: string): NpyArray {
  const broken = (reason: string) =>
    new FsynError('ATTRIBUTION', `${name} is not a readable .npy file: ${reason}.`);
  if (bytes.length < 12 || Buffer.from(bytes.subarray(0, 6)).toString('latin1') !== '\x93NUMPY') {
    throw broken('it does not start like one');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes[6] >= 2;
  const headerLength = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (long ? 12 : 10) + headerLength;
  if (start > bytes.length) throw broken('its header is cut off');
  const header = Buffer.from(bytes.subarray(long ? 12 : 10, start)).toString('latin1');
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const dims = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  const reader = type === undefined ? undefined : READERS[type];
  if (dims === undefined || !reader) throw broken(`its element type is ${type ?? 'missing'}`);
  const shape = dims.split(',').flatMap((part) => (part.trim() === '' ? [] : [Number(part)]));
  const count = shape.reduce((a, b) => a * b, 1);
  if (bytes.length - start !== count * reader.size) {
    throw broken(
      `shape [${shape.join(', ')}] wants ${count * reader.size} bytes, it has ${bytes.length - start}`,
    );
  }
  const stored = Float64Array.from({ length: count }, (_, i) => reader.read(view, start + i * reader.size));
  const fortran = /'fortran_order':\s*True/.test(header);
  return { shape, values: fortran && shape.length > 1 ? fromFortran(stored, shape) : stored };
}

function fromFortran(stored: Float64Array, shape: readonly number[]): Float64Array {
  const strides: number[] = [];
  shape.reduce((stride, size, axis) => {
    strides[axis] = stride;
    return stride * size;
  }, 1);
  return stored.map((_, i) => {
    let rest = i;
    let at = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += (rest % shape[axis]) * strides[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    return stored[at];
  });
}
