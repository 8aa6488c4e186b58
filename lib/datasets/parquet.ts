import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet';
import { FsynError, reasonOf } from '../errors.js';

/**
 * What a column holds: `image` is bytes, alone or as `bytes` of a struct, as Hugging Face datasets stores
 * pictures.
 */
export type ColumnKind = 'text' | 'integer' | 'texts' | 'image';

/** A row's values by column; null where the file has none. */
export type ParquetRow = Readonly<Record<string, unknown>>;

const codecs: readonly string[] = ['UNCOMPRESSED', 'SNAPPY'];

/**
 * A Parquet file whose schema was checked. Texts and numbers are read at once, pictures one by one: what is
 * held at a time is the picture column of one row group.
 */
export class ParquetTable {
  readonly path: string;
  /** First 12 hex digits of the SHA-256 of the file. */
  readonly digest: string;
  readonly rowCount: number;
  readonly #file: AsyncBuffer;
  readonly #metadata: FileMetaData;
  readonly #columns: Readonly<Record<string, ColumnKind>>;

  private constructor(
    path: string,
    digest: string,
    file: AsyncBuffer,
    metadata: FileMetaData,
    columns: Readonly<Record<string, ColumnKind>>,
  ) {
    this.path = path;
    this.digest = digest;
    this.rowCount = Number(metadata.num_rows);
    this.#file = file;
    this.#metadata = metadata;
    this.#columns = columns;
  }

  /**
   * Opens a file and checks that it has these columns; others may be there too.
   *
   * @throws FsynError DATASET when the file cannot be read, is truncated, lacks a column or holds another
   *   kind in it
   */
  static async open(path: string, columns: Readonly<Record<string, ColumnKind>>): Promise<ParquetTable> {
    const digest = await digestOf(path);
    const file = await rangesOf(path);
    const metadata = await parquetMetadataAsync(file).catch((cause: unknown) => {
      throw new FsynError(
        'DATASET',
        `${path} is not a whole Parquet file: ${reasonOf(cause)} (truncated, or another format).`,
        { cause },
      );
    });
    checkChunks(path, metadata);
    checkSchema(path, metadata, columns);
    checkCodecs(path, metadata, columns);
    return new ParquetTable(path, digest, file, metadata, columns);
  }

  /** Every row without its pictures, in file order. */
  async rows(): Promise<ParquetRow[]> {
    const columns = Object.keys(this.#columns).filter((name) => this.#columns[name] !== 'image');
    return this.#read({ columns });
  }

  /**
   * The bytes of one picture.
   *
   * @throws FsynError DATASET when the row has none, or the file is damaged there
   */
  async image(column: string, row: number): Promise<Uint8Array> {
    const [found] = await this.#read({ columns: [column], rowStart: row, rowEnd: row + 1 });
    const value = found?.[column] as Uint8Array | { bytes?: Uint8Array | null } | null | undefined;
    const bytes = value instanceof Uint8Array ? value : value?.bytes;
    if (!(bytes instanceof Uint8Array) || bytes.length === 0)
      throw new FsynError('DATASET', `${this.path} has no picture in row ${row}.`);
    return bytes;
  }

  async #read(range: { columns: string[]; rowStart?: number; rowEnd?: number }): Promise<ParquetRow[]> {
    const reading = { failed: false };
    try {
      return await parquetReadObjects({
        file: untilFailure(this.#file, reading),
        metadata: this.#metadata,
        // Bytes without a text type must stay bytes: they are pictures.
        utf8: false,
        useOffsetIndex: true,
        ...range,
      });
    } catch (cause) {
      reading.failed = true;
      throw new FsynError('DATASET', `Cannot read ${this.path}: ${reasonOf(cause)}.`, { cause });
    }
  }
}

/** A file that gives nothing more once reading has failed: nobody waits for the columns that were begun. */
function untilFailure(file: AsyncBuffer, reading: { readonly failed: boolean }): AsyncBuffer {
  return {
    byteLength: file.byteLength,
    slice: async (start, end) => {
      const bytes = await file.slice(start, end);
      return reading.failed ? new Promise(() => {}) : bytes;
    },
  };
}

/**
 * Reads every row of several files of one schema.
 *
 * @returns what `read` made of each row, and a version that changes with any file but not with their names
 */
export async function readTables<T>(
  paths: readonly string[],
  columns: Readonly<Record<string, ColumnKind>>,
  read: (table: ParquetTable, row: ParquetRow, index: number) => T,
): Promise<{ rows: T[]; version: string }> {
  const rows: T[] = [];
  const digests: string[] = [];
  for (const path of paths) {
    const table = await ParquetTable.open(path, columns);
    digests.push(table.digest);
    for (const [index, row] of (await table.rows()).entries()) rows.push(read(table, row, index));
  }
  return { rows, version: digests.sort().join('+') };
}

/**
 * Ranges of a file, read into one buffer each: a picture column may be large, and hyparquet's own reader
 * holds it thrice.
 */
async function rangesOf(path: string): Promise<AsyncBuffer> {
  const { size } = await stat(path);
  return {
    byteLength: size,
    async slice(start, end = size) {
      const bytes = new Uint8Array(end - start);
      const handle = await open(path);
      try {
        for (let filled = 0; filled < bytes.length; ) {
          const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
          if (bytesRead === 0) throw new Error(`the file ends before byte ${end}`);
          filled += bytesRead;
        }
      } finally {
        await handle.close();
      }
      return bytes.buffer;
    },
  };
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch (cause) {
    throw new FsynError('DATASET', `Cannot read ${path}: ${reasonOf(cause)}.`, { cause });
  }
  return hash.digest('hex').slice(0, 12);
}

function checkSchema(
  path: string,
  metadata: FileMetaData,
  columns: Readonly<Record<string, ColumnKind>>,
): void {
  const found = new Map(parquetSchema(metadata).children.map((child) => [child.element.name, child]));
  const problems = Object.entries(columns).flatMap(([name, kind]) => {
    const column = found.get(name);
    if (!column) return [`it has no column ${name}`];
    const actual = kindOf(column);
    return actual === kind ? [] : [`${name} holds ${actual ?? 'something else'}, not ${kind}`];
  });
  if (problems.length === 0) return;
  throw new FsynError(
    'DATASET',
    `${path} has another schema than expected: ${problems.join('; ')}. Its columns are ${[...found.keys()].join(', ')}.`,
  );
}

/**
 * Every column chunk must be a column of the schema, once. The decoder reads what it does not find in the
 * schema too, and nobody waits for it: a damaged one would end the process.
 */
function checkChunks(path: string, metadata: FileMetaData): void {
  const leaves = new Set(leavesOf(parquetSchema(metadata)).map((leaf) => leaf.join('.')));
  for (const { columns } of metadata.row_groups) {
    const found = columns.map(({ meta_data: chunk }) => chunk?.path_in_schema?.join('.') ?? '');
    const stranger = found.find((name, i) => !leaves.has(name) || found.indexOf(name) !== i);
    if (stranger === undefined) continue;
    throw new FsynError(
      'DATASET',
      `${path} is damaged: its column ${JSON.stringify(stranger)} is not in its schema, or twice in a row group.`,
    );
  }
}

function leavesOf({ path, children }: SchemaTree): string[][] {
  return children.length === 0 ? [path] : children.flatMap(leavesOf);
}

function kindOf({ element, children }: SchemaTree): ColumnKind | undefined {
  if (children.length === 0) {
    if (element.type === 'INT32' || element.type === 'INT64') return 'integer';
    if (element.type !== 'BYTE_ARRAY') return undefined;
    return element.converted_type === 'UTF8' || element.logical_type?.type === 'STRING' ? 'text' : 'image';
  }
  if (element.converted_type === 'LIST' || element.logical_type?.type === 'LIST') {
    const item = children[0]?.children[0];
    return item && kindOf(item) === 'text' ? 'texts' : undefined;
  }
  const bytes = children.find((child) => child.element.name === 'bytes');
  return bytes && kindOf(bytes) === 'image' ? 'image' : undefined;
}

function checkCodecs(
  path: string,
  metadata: FileMetaData,
  columns: Readonly<Record<string, ColumnKind>>,
): void {
  for (const { columns: chunks } of metadata.row_groups) {
    for (const { meta_data: chunk } of chunks) {
      if (!chunk || !(chunk.path_in_schema[0] in columns) || codecs.includes(chunk.codec)) continue;
      throw new FsynError(
        'DATASET',
        `${path} is compressed with ${chunk.codec}; only ${codecs.join(' and ')} can be read. Write it again with one of them.`,
      );
    }
  }
}
