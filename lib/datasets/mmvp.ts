import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FsynError } from '../errors.js';
import { readTextFile } from '../text-file.js';
import { choiceInstruction, choiceInstructions, choiceLetters } from './choices.js';
import { readCsv } from './csv.js';
import { DataFolder } from './data-folder.js';
import { type Entry, type PublishedOptions, publishedDataset, sizeNotes } from './published.js';
import type { Dataset } from './types.js';

const questions = 'Questions.csv';
const columns = ['Index', 'Question', 'Options', 'Correct Answer'];
const imageFolders = ['MMVP Images', 'images'];
const size = 300;

/**
 * MMVP (Tong et al. 2024, "Eyes Wide Shut?"): 300 two-way questions on pairs of pictures that CLIP takes for
 * the same. The question is followed by its options on a line of their own, as published.
 *
 * @param path folder with `Questions.csv` and the pictures in `MMVP Images/`, of the dataset MMVP/MMVP
 * @throws FsynError DATASET when files are missing or hold something else
 */
export async function openMmvp(path: string, options: PublishedOptions): Promise<Dataset> {
  const file = join(path, questions);
  const images = imageFolders.map((name) => join(path, name)).find((folder) => existsSync(folder));
  if (!existsSync(file) || images === undefined) {
    throw new FsynError(
      'DATASET',
      `MMVP is not at ${path}: expected a folder with ${questions} and the pictures in ${JSON.stringify(imageFolders[0])}, ` +
        'of the dataset MMVP/MMVP. fsyn downloads nothing.',
    );
  }
  const source = await readTextFile(file, { code: 'DATASET', what: 'the questions' });
  const [head, ...rows] = readCsv(source, file);
  const places = columns.map((name) => head?.cells.findIndex((cell) => cell.trim() === name) ?? -1);
  const missing = columns.filter((_, i) => places[i] === -1);
  if (missing.length > 0)
    throw new FsynError(
      'DATASET',
      `${file} has no column ${missing.map((name) => JSON.stringify(name)).join(', ')}.`,
    );
  const pictures = new DataFolder(images, options.allowOutside === true);
  const entries = rows.map(({ cells, number }) => {
    const [index, question, choices, answer] = places.map((place) => (cells[place] ?? '').trim());
    return entryOf({ index, question, choices, answer }, `${file}:${number}`, images, pictures);
  });
  return publishedDataset(
    {
      name: 'mmvp',
      version: createHash('sha256').update(source).digest('hex').slice(0, 12),
      entries,
      instruction: choiceInstruction,
      instructions: choiceInstructions,
      notes: sizeNotes('mmvp', file, entries.length, size),
    },
    options,
  );
}

function entryOf(
  { index, question, choices, answer }: Readonly<Record<'index' | 'question' | 'choices' | 'answer', string>>,
  where: string,
  images: string,
  pictures: DataFolder,
): Entry {
  if (!/^\d+$/.test(index))
    throw new FsynError(
      'DATASET',
      `${where}: expected a number for Index but found ${JSON.stringify(index)}.`,
    );
  const offered = [...choices.matchAll(/\(([a-z])\)/gi)].map((match) => match[1].toUpperCase());
  const letters = choiceLetters(offered.length) ?? [];
  const right = /^\(?([a-z])\)?$/i.exec(answer)?.[1]?.toUpperCase();
  const picture = `${index}.jpg`;
  const problem =
    question === ''
      ? `${where} has no question.`
      : offered.length < 2 || offered.some((letter, i) => letter !== letters[i])
        ? `${where}: the options ${JSON.stringify(choices)} are not (a), (b), ...`
        : right === undefined || !letters.includes(right)
          ? `${where}: the answer ${JSON.stringify(answer)} is none of its options.`
          : existsSync(join(images, picture))
            ? undefined
            : `${where}: the picture ${join(images, picture)} is missing.`;
  return {
    id: index,
    question: `${question}\n${choices}`,
    answer: right ?? answer,
    family: 'visual pattern',
    choices: letters,
    subsets: [],
    problem,
    image: () => pictures.image(picture, where),
  };
}
