import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import * as v from 'valibot';
import { FsynError } from '../errors.js';
import { resolveOptions } from '../options.js';
import { conform, finite, object, optional, path, text } from '../schema.js';
import { jsonLines, parseJson, readTextFile } from '../text-file.js';
import { chooseSpread } from './choose.js';
import { DataFolder } from './data-folder.js';
import type { Dataset, Sample } from './types.js';

export interface JsonlOptions {
  /** Most samples. */
  readonly limit: number;
  /** Decides which samples a limit takes. */
  readonly seed: number;
  /** Whether pictures outside the file's folder are read, which a report then shows. */
  readonly allowOutside: boolean;
}

const groundings = ['grounded', 'text-prior', 'image-prior'] as const;
const box = v.strictTuple([finite, finite, finite, finite], '[x0, y0, x1, y1]');
const boxes = v.array(box, 'a list of [x0, y0, x1, y1]');
const words = v.array(v.strictTuple([finite, finite], '[from, to]'), 'a list of [from, to]');
const shape = '{boxes: [[x0, y0, x1, y1], ...], words: [[from, to], ...], distractors?: [...]}';

/** One line; `image` is a path relative to the file. */
const row = object(
  {
    id: optional(text),
    image: path,
    question: text,
    answer: text,
    instruction: optional(text),
    choices: optional(v.array(text, 'a list of texts')),
    family: optional(text),
    grounding: optional(v.picklist(groundings, `one of ${groundings.join(', ')}`)),
    truth: optional(object({ boxes, words, distractors: optional(boxes) }, shape)),
  },
  'an object',
);

/** A line as it was read, and where it stands. */
type Line = Omit<Sample, 'image'> & { readonly image: string; readonly where: string };

/**
 * People's own data: one JSON object per line with `image` (path relative to the file), `question` and
 * `answer`, and optionally `id`, `instruction`, `choices`, `family`, `grounding` and `truth` ({boxes:
 * [[x0,y0,x1,y1]], words: [[from,to]]}). An optional field may be `null`. Every line is checked before the
 * first is used; images are read when their sample is, and only from the file's folder unless `allowOutside`
 * says otherwise. Samples come in an order that depends on ids and seed alone, as those of the published
 * datasets do, and are cut at the limit; the id of a line without one is its number.
 *
 * @throws FsynError DATASET naming file, line and field
 */
export async function openJsonl(file: string, options?: Partial<JsonlOptions>): Promise<Dataset> {
  const defaults: JsonlOptions = { limit: Number.POSITIVE_INFINITY, seed: 0, allowOutside: false };
  const { limit, seed, allowOutside } = resolveOptions('openJsonl', defaults, options);
  const source = await readTextFile(file, { code: 'DATASET', what: 'the dataset' });
  const ids = new Set<string>();
  const lines: Line[] = [];
  for (const { line, number } of jsonLines(source)) {
    const where = `${file}:${number}`;
    const read = conform(row, parseJson(line, where, 'DATASET'), where, 'DATASET');
    const id = read.id ?? String(number);
    if (ids.has(id))
      throw new FsynError('DATASET', `${where}: the id ${JSON.stringify(id)} appeared before.`);
    ids.add(id);
    lines.push({ ...read, id, family: read.family ?? 'custom', where });
  }
  if (lines.length === 0) throw new FsynError('DATASET', `${file} holds no samples.`);
  const folder = new DataFolder(dirname(file), allowOutside);
  for (const { image, where } of lines) folder.check(image, where);
  const chosen = chooseSpread(lines, { limit, seed });
  return {
    name: basename(file).replace(/\.jsonl?$/, ''),
    version: createHash('sha256').update(source).digest('hex').slice(0, 12),
    size: chosen.length,
    notes: halfTruthNotes(file, chosen),
    truthless: chosen.every(({ truth }) => truth === undefined),
    async *samples() {
      for (const { image, where, ...rest } of chosen) {
        yield { ...rest, image: () => folder.image(image, where) };
      }
    },
  };
}

/**
 * An Oracle that knows what decides in one modality ranks the other by place: the report compares no controls
 * there.
 */
function halfTruthNotes(file: string, lines: readonly Line[]): string[] {
  const marked = lines.filter(({ grounding, truth }) => grounding === 'grounded' && truth);
  const half = marked.filter(({ truth }) => truth!.boxes.length === 0 || truth!.words.length === 0);
  if (half.length === 0) return [];
  return [
    `${file}: ${half.length} of ${marked.length} grounded samples with truth mark no boxes or no words, the first ${JSON.stringify(half[0].id)}; the Oracle controls are not compared on them.`,
  ];
}
