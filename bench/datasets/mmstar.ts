import { FsynError } from '../../lib/errors.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { choiceInstruction, choiceInstructions } from './choices.js';
import { parquetFiles } from './folder.js';
import { type ParquetRow, type ParquetTable, readTables } from './parquet.js';
import { type Entry, type PublishedOptions, publishedDataset, sizeNotes } from './published.js';
import type { Dataset } from './types.js';

const columns = {
  index: 'integer',
  question: 'text',
  image: 'image',
  answer: 'text',
  category: 'text',
  l2_category: 'text',
} as const;
const letters = ['A', 'B', 'C', 'D'];
const publishedSize = 1500;

/**
 * MMStar (Chen et al. 2024): 1500 four-way questions with their options in the text, from the Parquet file of its split `val`.
 * Subsets are its six categories.
 *
 * @param path the Parquet file, or a folder of Parquet files
 * @throws FsynError DATASET when there is no file, or one is truncated or of another schema
 */
export async function openMmstar(path: string, options: PublishedOptions): Promise<Dataset> {
  const files = await parquetFiles(path);
  if (!files) {
    throw new FsynError(
      'DATASET',
      `MMStar is not at ${path}: expected mmstar.parquet (split val of the dataset Lin-Chen/MMStar) there, or the path of the file itself. ` +
        'fsyn downloads nothing.',
    );
  }
  const { rows, version } = await readTables(files, columns, entryOf);
  return publishedDataset(
    {
      name: 'mmstar',
      version,
      entries: rows,
      instruction: choiceInstruction,
      instructions: choiceInstructions,
      notes: sizeNotes('mmstar', path, rows.length, publishedSize),
    },
    options,
  );
}

function entryOf(table: ParquetTable, row: ParquetRow, i: number): Entry {
  const where = `${table.path}, row ${i}`;
  const { index, question, answer, category, l2_category: detail } = row;
  if (index === null || index === undefined) throw new FsynError('DATASET', `${where} has no index.`);
  return {
    id: String(index),
    question: typeof question === 'string' ? question : '',
    answer: String(answer),
    family: typeof category === 'string' ? category : 'unknown',
    choices: letters,
    subsets: [category, detail].filter((name) => typeof name === 'string'),
    problem:
      typeof question !== 'string' || question.trim() === ''
        ? `${where} (index ${index}) has no question.`
        : letters.includes(answer as string)
          ? undefined
          : `${where} (index ${index}): the answer ${JSON.stringify(answer)} is none of ${letters.join(', ')}.`,
    image: async () => decodeImage(await table.image('image', i)),
  };
}
