import { FsynError } from '../errors.js';
import { decodeImage } from '../vlm/images/decode.js';
import { type ChoiceSet, openChoiceSet } from './choices.js';
import type { ParquetRow, ParquetTable } from './parquet.js';
import type { Entry, PublishedOptions } from './published.js';
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
const set: ChoiceSet = {
  name: 'mmstar',
  columns,
  size: 1500,
  absent: (path) =>
    `MMStar is not at ${path}: expected mmstar.parquet (split val of the dataset Lin-Chen/MMStar) there, or the path of the file itself.`,
  entryOf,
};

/**
 * MMStar (Chen et al. 2024): 1500 four-way questions with their options in the text, from the Parquet file of
 * its split `val`. Subsets are its six categories.
 *
 * @param path the Parquet file, or a folder of Parquet files
 * @throws FsynError DATASET when there is no file, or one is truncated or of another schema
 */
export async function openMmstar(path: string, options: PublishedOptions): Promise<Dataset> {
  return openChoiceSet(set, path, options);
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
