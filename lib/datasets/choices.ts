import { FsynError } from '../errors.js';
import { parquetFiles } from './folder.js';
import { type ColumnKind, type ParquetRow, type ParquetTable, readTables } from './parquet.js';
import { type Entry, type PublishedOptions, publishedDataset, sizeNotes } from './published.js';
import type { Dataset, Sample } from './types.js';

/** The published answer format of multiple-choice questions. */
export const choiceInstruction =
  '\nAnswer directly with only the letter inside parentheses, and nothing else. \nAnswer:';

/** LLaVA-1.5 is asked otherwise in the published runs. */
export const choiceInstructions: Sample['instructions'] = { llava: '\nAnswer' };

/** The letters of a question with this many choices; undefined for more than the alphabet has. */
export function choiceLetters(count: number): string[] | undefined {
  return count > 26 ? undefined : Array.from({ length: count }, (_, k) => String.fromCharCode(65 + k));
}

/** A published multiple-choice set in Parquet files. */
export interface ChoiceSet {
  readonly name: string;
  readonly columns: Readonly<Record<string, ColumnKind>>;
  /** Questions of the published set. */
  readonly size: number;
  /** What to tell a person when no file is at a path. */
  absent(path: string): string;
  /** The question in row i of a table. */
  entryOf(table: ParquetTable, row: ParquetRow, i: number): Entry;
}

/**
 * Opens a local copy of a multiple-choice set.
 *
 * @param path a Parquet file or a folder of them
 * @throws FsynError DATASET when there is no file, or one is truncated or of another schema
 */
export async function openChoiceSet(
  { name, columns, size, absent, entryOf }: ChoiceSet,
  path: string,
  options: PublishedOptions,
): Promise<Dataset> {
  const files = await parquetFiles(path);
  if (!files) throw new FsynError('DATASET', `${absent(path)} fsyn downloads nothing.`);
  const { rows, version } = await readTables(files, columns, entryOf);
  return publishedDataset(
    {
      name,
      version,
      entries: rows,
      instruction: choiceInstruction,
      instructions: choiceInstructions,
      notes: sizeNotes(name, path, rows.length, size),
    },
    options,
  );
}
