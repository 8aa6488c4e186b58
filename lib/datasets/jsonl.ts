import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { describe, FsynError } from '../errors.js';
import { resolveOptions } from '../options.js';
import { decodeImage } from '../vlm/images/decode.js';
import { chooseByHash } from './published.js';
import type { Dataset, Grounding, GroundTruth, Sample } from './types.js';

export interface JsonlOptions {
  /** Most samples. */
  readonly limit: number;
  /** Decides which samples a limit takes. */
  readonly seed: number;
}

/** The fields of one line; `image` is a path relative to the file. */
type Fields = Omit<Sample, 'image'> & { readonly image: string };

const groundings: readonly string[] = ['grounded', 'text-prior', 'image-prior'];

/**
 * People's own data: one JSON object per line with `image` (path relative to the file), `question` and `answer`, and
 * optionally `id`, `instruction`, `choices`, `family`, `grounding` and `truth` ({boxes: [[x0,y0,x1,y1]], words: [[from,to]]}).
 * Every line is checked before the first is used; images are read when their sample is. Samples come in an order that depends
 * on ids and seed alone, as those of the published datasets do, and are cut at the limit; the id of a line without one is its
 * number.
 *
 * @throws FsynError DATASET naming file, line and field
 */
export async function openJsonl(path: string, options?: Partial<JsonlOptions>): Promise<Dataset> {
  const defaults: JsonlOptions = { limit: Number.POSITIVE_INFINITY, seed: 0 };
  const { limit, seed } = resolveOptions('openJsonl', defaults, options);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new FsynError('DATASET', `Cannot read the dataset ${path}.`, { cause });
  });
  const ids = new Set<string>();
  const fields: Fields[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const row = parseLine(`${path}:${i + 1}`, line, i + 1);
    if (ids.has(row.id))
      throw new FsynError('DATASET', `${path}:${i + 1}: the id ${JSON.stringify(row.id)} appeared before.`);
    ids.add(row.id);
    fields.push(row);
  }
  if (fields.length === 0) throw new FsynError('DATASET', `${path} holds no samples.`);
  const chosen = chooseByHash(fields, { limit, seed });
  return {
    name: basename(path).replace(/\.jsonl?$/, ''),
    version: createHash('sha256').update(text).digest('hex').slice(0, 12),
    size: chosen.length,
    truthless: chosen.every(({ truth }) => truth === undefined),
    async *samples() {
      for (const { image, ...rest } of chosen) {
        yield { ...rest, image: () => decodeImage(resolve(dirname(path), image)) };
      }
    },
  };
}

function parseLine(where: string, line: string, number: number): Fields {
  let row: Record<string, unknown>;
  try {
    row = JSON.parse(line) as Record<string, unknown>;
  } catch (cause) {
    throw new FsynError('DATASET', `${where} is not JSON.`, { cause });
  }
  const fail = (field: string, expected: string): never => {
    throw new FsynError(
      'DATASET',
      `${where}: expected ${expected} for ${field} but found ${describe(row[field])}.`,
    );
  };
  const text = (field: string): string =>
    typeof row[field] === 'string' && row[field] !== '' ? row[field] : fail(field, 'a text');
  const optionalText = (field: string) => (row[field] === undefined ? undefined : text(field));
  const { choices, grounding, truth } = row;
  if (
    choices !== undefined &&
    !(Array.isArray(choices) && choices.every((choice) => typeof choice === 'string'))
  ) {
    fail('choices', 'a list of texts');
  }
  if (grounding !== undefined && !groundings.includes(grounding as string))
    fail('grounding', `one of ${groundings.join(', ')}`);
  if (truth !== undefined && !isTruth(truth))
    fail('truth', '{boxes: [[x0, y0, x1, y1], ...], words: [[from, to], ...]}');
  return {
    id: optionalText('id') ?? String(number),
    image: text('image'),
    question: text('question'),
    answer: text('answer'),
    instruction: optionalText('instruction'),
    choices: choices as readonly string[] | undefined,
    family: optionalText('family') ?? 'custom',
    grounding: grounding as Grounding | undefined,
    truth: truth as GroundTruth | undefined,
  };
}

function isTruth(value: unknown): boolean {
  const { boxes, words } = value as { boxes?: unknown; words?: unknown };
  const tuples = (list: unknown, length: number) =>
    Array.isArray(list) &&
    list.every((item) => Array.isArray(item) && item.length === length && item.every(Number.isFinite));
  return typeof value === 'object' && value !== null && tuples(boxes, 4) && tuples(words, 2);
}
