import { FsynError } from '../errors.js';
import { fromHalf } from '../float16.js';

/** An array from a .npy file. */
export interface NpyArray {
  readonly shape: readonly number[];
  /** Row-major values. */
  readonly values: Float64Array;
}

type Reader = (view: DataView, at: number, little: boolean) => number;

/** NumPy's kinds and sizes; the byte order is a letter in front. */
const READERS: Readonly<Record<string, Reader>> = {
  f2: (view, at, little) => fromHalf(view.getUint16(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
  i1: (view, at) => view.getInt8(at),
  i2: (view, at, little) => view.getInt16(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  u1: (view, at) => view.getUint8(at),
  u2: (view, at, little) => view.getUint16(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  b1: (view, at) => view.getUint8(at),
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
  const [, order, kind = ''] = /^([<>|=])(\w\d)$/.exec(type ?? '') ?? [];
  const reader = Object.hasOwn(READERS, kind) ? READERS[kind] : undefined;
  if (reader === undefined) throw broken(`its element type is ${JSON.stringify(type ?? 'missing')}`);
  if (dims === undefined || !/^[\d\s,]*$/.test(dims)) throw broken('its shape is no list of sizes');
  const size = Number(kind[1]);
  const shape = dims.split(',').flatMap((part) => (part.trim() === '' ? [] : [Number(part)]));
  if (!shape.every(Number.isSafeInteger)) throw broken('its shape is no list of sizes');
  const count = shape.reduce((a, b) => a * b, 1);
  if (bytes.length - start !== count * size) {
    throw broken(`shape [${shape.join(', ')}] wants ${count * size} bytes, it has ${bytes.length - start}`);
  }
  const stored = Float64Array.from({ length: count }, (_, i) =>
    reader(view, start + i * size, order !== '>'),
  );
  const fortran = /'fortran_order':\s*True/.test(header);
  return { shape, values: fortran && shape.length > 1 ? fromFortran(stored, shape) : stored };
}

/** The bytes of a .npy file (format version 1) of float32 values, row-major. */
export function npyFloat32(values: Float32Array, shape: readonly number[]): Buffer {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims}), }`;
  // Magic, version and length take 10 bytes; the data begin at a multiple of 64.
  const padded = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11);
  const start = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
  const length = Buffer.alloc(2);
  length.writeUInt16LE(padded.length + 1);
  const data = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return Buffer.concat([start, length, Buffer.from(`${padded}\n`, 'latin1'), data]);
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
