import { createHash } from 'node:crypto';

/**
 * A cell file is this header and records. A record holds the cells of one or more whole batches,
 * little-endian: bytes of the rest (uint32), owner (24), number of cells, bytes of a cell's key, scores of a
 * cell (uint32 each), the keys, the scores (float64), and the first 8 bytes of the SHA-256 of all before.
 */
export const cellFileHeader = Buffer.from('fsyn cells v1\n\0\0', 'latin1');

/** Bytes that name a sample and a program. */
const ownerBytes = 24;
const checksumBytes = 8;
const headBytes = 4 + ownerBytes + 3 * 4;

export interface CellRecord {
  /** Sample and program: 24 bytes as hex. */
  readonly owner: string;
  /** Keys of one length, of characters below 256. */
  readonly cells: readonly string[];
  /** [cells, tokens] */
  readonly scores: Float64Array;
}

export function encodeCells({ owner, cells, scores }: CellRecord): Buffer {
  const keyBytes = cells[0].length;
  const body = headBytes + cells.length * keyBytes + 8 * scores.length;
  const bytes = Buffer.allocUnsafe(body + checksumBytes);
  bytes.writeUInt32LE(bytes.length - 4, 0);
  bytes.write(owner, 4, 'hex');
  let at = 4 + ownerBytes;
  for (const extent of [cells.length, keyBytes, scores.length / cells.length])
    at = bytes.writeUInt32LE(extent, at);
  for (const cell of cells) at += bytes.write(cell, at, 'latin1');
  for (const score of scores) at = bytes.writeDoubleLE(score, at);
  checksum(bytes.subarray(0, body)).copy(bytes, body);
  return bytes;
}

/**
 * How reading ended: at the end, in a record that was not written to its end, or at bytes that are no record.
 */
export type CellFileEnd = 'complete' | 'torn' | 'damaged';

/**
 * The records of a cell file's bytes up to the first that is not whole.
 *
 * @returns the records, the bytes that header and whole records take, and why reading ended there
 */
export function decodeCells(bytes: Buffer): { records: CellRecord[]; end: number; why: CellFileEnd } {
  const records: CellRecord[] = [];
  const header = bytes.subarray(0, cellFileHeader.length);
  if (!cellFileHeader.subarray(0, header.length).equals(header)) return { records, end: 0, why: 'damaged' };
  if (header.length < cellFileHeader.length) {
    return { records, end: 0, why: bytes.length === 0 ? 'complete' : 'torn' };
  }
  let end = cellFileHeader.length;
  while (end < bytes.length) {
    const size = bytes.length - end < 4 ? Number.POSITIVE_INFINITY : 4 + bytes.readUInt32LE(end);
    if (end + size > bytes.length) return { records, end, why: 'torn' };
    const record = decodeRecord(bytes.subarray(end, end + size));
    if (record === undefined) return { records, end, why: 'damaged' };
    records.push(record);
    end += size;
  }
  return { records, end, why: 'complete' };
}

function decodeRecord(bytes: Buffer): CellRecord | undefined {
  const body = bytes.length - checksumBytes;
  if (body < headBytes) return undefined;
  if (!checksum(bytes.subarray(0, body)).equals(bytes.subarray(body))) return undefined;
  const [count, keyBytes, tokens] = [0, 4, 8].map((at) => bytes.readUInt32LE(4 + ownerBytes + at));
  if (headBytes + count * (keyBytes + 8 * tokens) !== body) return undefined;
  const key = (i: number) => headBytes + i * keyBytes;
  const scores = new Float64Array(count * tokens);
  for (let i = 0; i < scores.length; i++) scores[i] = bytes.readDoubleLE(key(count) + 8 * i);
  return {
    owner: bytes.toString('hex', 4, 4 + ownerBytes),
    cells: Array.from({ length: count }, (_, i) => bytes.toString('latin1', key(i), key(i + 1))),
    scores,
  };
}

function checksum(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest().subarray(0, checksumBytes);
}
