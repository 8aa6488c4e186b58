import { FsynError } from '../errors.js';
import { decodeImage } from '../vlm/images/decode.js';
import { type ChoiceSet, choiceLetters, openChoiceSet } from './choices.js';
import type { ParquetRow, ParquetTable } from './parquet.js';
import type { Entry, PublishedOptions } from './published.js';
import type { Dataset } from './types.js';

const columns = {
  idx: 'integer',
  type: 'text',
  task: 'text',
  image: 'image',
  choices: 'texts',
  answer: 'text',
  prompt: 'text',
} as const;
const set: ChoiceSet = {
  name: 'cv-bench',
  columns,
  size: 2638,
  absent: (path) =>
    `CV-Bench is not at ${path}: expected a folder with test_2d.parquet and test_3d.parquet of the dataset nyu-visionx/CV-Bench, ` +
    'or the path of one of them.',
  entryOf,
};

/**
 * CV-Bench (Tong et al. 2024): 2638 questions on counting, spatial relation, depth and distance, from its two
 * Parquet files. The question is the column `prompt`, which lists the options; subsets are `2D`, `3D` and the
 * four tasks.
 *
 * @param path folder of test_2d.parquet and test_3d.parquet, or one of the files
 * @throws FsynError DATASET when there is no file, or one is truncated or of another schema
 */
export async function openCvBench(path: string, options: PublishedOptions): Promise<Dataset> {
  return openChoiceSet(set, path, options);
}

function entryOf(table: ParquetTable, row: ParquetRow, i: number): Entry {
  const where = `${table.path}, row ${i}`;
  const { idx, type, task, prompt, answer } = row;
  if (idx === null || idx === undefined || typeof type !== 'string')
    throw new FsynError('DATASET', `${where} has no idx or no type.`);
  const options = Array.isArray(row.choices) ? row.choices.length : 0;
  const letters = choiceLetters(options);
  const letter = typeof answer === 'string' ? /^\(([A-Z])\)$/.exec(answer)?.[1] : undefined;
  const named = `${where} (${type} ${idx})`;
  return {
    id: `${type}-${idx}`,
    question: typeof prompt === 'string' ? prompt : '',
    answer: letter ?? String(answer),
    family: typeof task === 'string' ? task.toLowerCase() : 'unknown',
    choices: letters ?? [],
    subsets: [type, task].filter((name) => typeof name === 'string'),
    problem:
      typeof prompt !== 'string' || prompt.trim() === ''
        ? `${named} has no prompt.`
        : letters === undefined
          ? `${named} has ${options} choices, more than there are letters.`
          : letter !== undefined && letters.includes(letter)
            ? undefined
            : `${named}: the answer ${JSON.stringify(answer)} is none of its ${options} choices.`,
    image: async () => decodeImage(await table.image('image', i)),
  };
}
