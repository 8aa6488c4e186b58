import * as v from 'valibot';
import { FsynError } from '../errors.js';
import { conform, finite, object, text } from '../schema.js';
import { parseJson, readTextFile } from '../text-file.js';
import type { GroundTruth } from './types.js';

type Box = GroundTruth['boxes'][number];

/** An annotated thing in a COCO image. */
export interface CocoObject {
  readonly category: string;
  readonly box: Box;
  /** A group that is annotated as one: it may hold the asked object, and is no distractor. */
  readonly crowd: boolean;
}

const whole = v.pipe(finite, v.integer('an integer'));
const list = v.custom<unknown[]>(Array.isArray, 'a list');
const file = object({ images: list, annotations: list, categories: list }, 'an object');
const image = object({ id: whole, file_name: text }, 'an object');
const category = object({ id: whole, name: text }, 'an object');
const annotation = object(
  {
    image_id: whole,
    category_id: whole,
    bbox: v.strictTuple([finite, finite, finite, finite], '[x, y, width, height]'),
    iscrowd: whole,
  },
  'an object',
);

/**
 * The annotated objects of some images, from COCO's `instances_val2014.json`. The file has 160 MB and 290,000
 * annotations: only those of the wanted images are looked at and kept.
 *
 * @param path the file
 * @param wanted file names of images
 * @returns objects by file name, and all category names; an image that the file does not know is missing
 * @throws FsynError DATASET naming the file and the entry that is not as expected
 */
export async function readCocoObjects(
  path: string,
  wanted: ReadonlySet<string>,
): Promise<{
  readonly objects: ReadonlyMap<string, readonly CocoObject[]>;
  readonly categories: ReadonlySet<string>;
}> {
  const source = await readTextFile(path, { code: 'DATASET', what: 'the COCO instances' });
  const { images, annotations, categories } = conform(
    file,
    parseJson(source, path, 'DATASET'),
    path,
    'DATASET',
  );
  const where = (kind: string, i: number) => `${path}: ${kind}[${i}]`;
  const names = new Map(
    categories.map((entry, i) => {
      const { id, name } = conform(category, entry, where('categories', i), 'DATASET');
      return [id, name];
    }),
  );
  const found = new Map<number, CocoObject[]>();
  const objects = new Map<string, CocoObject[]>();
  for (const [i, entry] of images.entries()) {
    const { id, file_name: name } = conform(image, entry, where('images', i), 'DATASET');
    if (!wanted.has(name)) continue;
    const own: CocoObject[] = [];
    found.set(id, own);
    objects.set(name, own);
  }
  for (const [i, entry] of annotations.entries()) {
    const own = found.get((entry as { image_id?: number } | null)?.image_id ?? Number.NaN);
    if (own === undefined) continue;
    const read = conform(annotation, entry, where('annotations', i), 'DATASET');
    const [x, y, width, height] = read.bbox;
    const name = names.get(read.category_id);
    if (name === undefined)
      throw new FsynError(
        'DATASET',
        `${where('annotations', i)}: no category has the id ${read.category_id}.`,
      );
    // A box without an area marks nothing.
    if (width > 0 && height > 0)
      own.push({ category: name, box: [x, y, x + width, y + height], crowd: read.iscrowd === 1 });
  }
  return { objects, categories: new Set(names.values()) };
}
