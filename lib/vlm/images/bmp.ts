import ndarray from 'ndarray';
import type { RgbImage } from '../types.js';

interface Header {
  readonly width: number;
  readonly height: number;
  readonly topDown: boolean;
  readonly bits: number;
  readonly compression: number;
  readonly pixels: number;
  /** [colours, 3], RGB. */
  readonly palette: Uint8Array;
  /** Red, green and blue of a pixel of 16 or 32 bits. */
  readonly masks: readonly number[];
}

const uncompressed = 0;
const runs8 = 1;
const runs4 = 2;
const bitFields = 3;
const alphaBitFields = 6;

/**
 * Decodes a Windows or OS/2 bitmap: 1, 4, 8, 16, 24 and 32 bits, palettes, run-length codes and bit fields;
 * alpha is dropped.
 *
 * @param limit most pixels
 * @throws Error saying what is wrong with the file
 */
export function decodeBmp(bytes: Uint8Array, limit: number): RgbImage {
  const header = readHeader(bytes, limit);
  const { width, height, bits, compression, topDown } = header;
  const data = new Uint8Array(width * height * 3);
  if (compression === runs8 || compression === runs4) drawRuns(bytes, header, data);
  else {
    const stride = Math.ceil((width * bits) / 32) * 4;
    if (header.pixels + stride * height > bytes.length) throw new Error('the file is truncated');
    for (let y = 0; y < height; y++) {
      const row = bytes.subarray(header.pixels + y * stride, header.pixels + (y + 1) * stride);
      const target = (topDown ? y : height - 1 - y) * width * 3;
      if (bits <= 8) drawIndices(row, header, data, target);
      else drawColours(row, header, data, target);
    }
  }
  return ndarray(data, [height, width, 3]);
}

function readHeader(bytes: Uint8Array, limit: number): Header {
  if (bytes.length < 26) throw new Error('the file is truncated');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = view.getUint32(14, true);
  const old = size === 12;
  if (!old && (size < 40 || bytes.length < 54)) throw new Error(`its header of ${size} bytes is unknown`);
  const width = old ? view.getUint16(18, true) : view.getInt32(18, true);
  const signed = old ? view.getUint16(20, true) : view.getInt32(22, true);
  const height = Math.abs(signed);
  if (width < 1 || height < 1) throw new Error(`it has ${width} x ${signed} pixels`);
  if (width * height > limit) throw new Error(`its ${width} x ${height} pixels exceed the limit of ${limit}`);
  const bits = view.getUint16(old ? 24 : 28, true);
  const compression = old ? uncompressed : view.getUint32(30, true);
  if (!isKnown(bits, compression))
    throw new Error(`${bits} bits with compression ${compression} are unknown`);
  const end = 14 + size;
  const beside =
    size === 40 && compression === bitFields ? 12 : size === 40 && compression === alphaBitFields ? 16 : 0;
  const masks = readMasks(view, bits, compression);
  const palette =
    bits > 8
      ? new Uint8Array(0)
      : readPalette(bytes, end + beside, old, bits, old ? 0 : view.getUint32(46, true));
  return {
    width,
    height,
    topDown: signed < 0,
    bits,
    compression,
    pixels: view.getUint32(10, true),
    palette,
    masks,
  };
}

function isKnown(bits: number, compression: number): boolean {
  if (compression === uncompressed) return [1, 4, 8, 16, 24, 32].includes(bits);
  if (compression === runs8) return bits === 8;
  if (compression === runs4) return bits === 4;
  return (compression === bitFields || compression === alphaBitFields) && (bits === 16 || bits === 32);
}

function readMasks(view: DataView, bits: number, compression: number): number[] {
  if (compression === bitFields || compression === alphaBitFields) {
    if (view.byteLength < 66) throw new Error('the file is truncated');
    return [54, 58, 62].map((at) => view.getUint32(at, true));
  }
  return bits === 16 ? [0x7c00, 0x03e0, 0x001f] : [0xff0000, 0xff00, 0xff];
}

function readPalette(bytes: Uint8Array, from: number, old: boolean, bits: number, used: number): Uint8Array {
  const entry = old ? 3 : 4;
  const palette = new Uint8Array(2 ** bits * 3);
  const count = used === 0 ? 2 ** bits : Math.min(used, 2 ** bits);
  if (from + count * entry > bytes.length) throw new Error('the file is truncated');
  for (let i = 0; i < count; i++) {
    for (let channel = 0; channel < 3; channel++)
      palette[i * 3 + channel] = bytes[from + i * entry + 2 - channel];
  }
  return palette;
}

function drawIndices(
  row: Uint8Array,
  { width, bits, palette }: Header,
  data: Uint8Array,
  target: number,
): void {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  for (let x = 0; x < width; x++) {
    const index = (row[Math.floor(x / perByte)] >> (8 - bits * ((x % perByte) + 1))) & mask;
    data.set(palette.subarray(index * 3, index * 3 + 3), target + x * 3);
  }
}

function drawColours(
  row: Uint8Array,
  { width, bits, masks }: Header,
  data: Uint8Array,
  target: number,
): void {
  const size = bits / 8;
  const channels = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    return { mask, shift, largest: mask >>> shift };
  });
  for (let x = 0; x < width; x++) {
    const at = x * size;
    const low = row[at] | (row[at + 1] << 8);
    const value = size === 2 ? low : low | (row[at + 2] << 16) | (size === 4 ? row[at + 3] << 24 : 0);
    for (const [channel, { mask, shift, largest }] of channels.entries()) {
      const level = (value & mask) >>> shift;
      data[target + x * 3 + channel] = largest === 0 ? 0 : Math.trunc((level * 255) / largest);
    }
  }
}

/**
 * Run-length codes: pairs of count and index; a count of 0 escapes to the end of a line, of the file, a move
 * or plain pixels.
 */
function drawRuns(bytes: Uint8Array, header: Header, data: Uint8Array): void {
  const { width, height, topDown, compression, palette } = header;
  const four = compression === runs4;
  let at = header.pixels;
  let x = 0;
  let y = 0;
  const put = (index: number): void => {
    if (x < width && y < height) {
      data.set(palette.subarray(index * 3, index * 3 + 3), ((topDown ? y : height - 1 - y) * width + x) * 3);
    }
    x++;
  };
  // What no code draws has the first colour.
  for (let i = 0; i < width * height; i++) data.set(palette.subarray(0, 3), i * 3);
  while (at + 1 < bytes.length && y < height) {
    const [count, value] = [bytes[at], bytes[at + 1]];
    at += 2;
    if (count > 0) {
      for (let i = 0; i < count; i++) put(four ? (i % 2 === 0 ? value >> 4 : value & 15) : value);
    } else if (value === 0) {
      x = 0;
      y++;
    } else if (value === 1) {
      return;
    } else if (value === 2) {
      x += bytes[at] ?? 0;
      y += bytes[at + 1] ?? 0;
      at += 2;
    } else {
      const length = four ? Math.ceil(value / 2) : value;
      if (at + length > bytes.length) throw new Error('the file is truncated');
      for (let i = 0; i < value; i++) {
        const byte = bytes[at + (four ? i >> 1 : i)];
        put(four ? (i % 2 === 0 ? byte >> 4 : byte & 15) : byte);
      }
      at += length + (length % 2);
    }
  }
  if (y < height) throw new Error('the file is truncated');
}
