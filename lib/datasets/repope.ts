import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type * as v from 'valibot';
import { FsynError } from '../errors.js';
import { conform, path as imagePath, object, text } from '../schema.js';
import { jsonLines, parseJson, readTextFile } from '../text-file.js';
import { DataFolder } from './data-folder.js';
import { listFolder } from './folder.js';
import { type Entry, type PublishedOptions, publishedDataset, subsetKey } from './published.js';
import { repopeTruth } from './repope-truth.js';
import type { Dataset } from './types.js';

const splits = ['random', 'popular', 'adversarial'] as const;
const annotationFolders = ['annotations', 'repope_annotations', '.'];
const imageFolders = ['val2014', 'images'];

/** One line of an annotation file. */
const annotation = object({ image: imagePath, text, label: text }, 'an object');
type Annotation = v.InferOutput<typeof annotation> & { readonly split: string; readonly where: string };

/**
 * RePOPE (Neuhaus & Hein 2025): yes/no questions on whether an object is in a COCO image, POPE with its
 * labels put right. Without a subset the three splits are joined and equal questions about an image asked
 * once, as published.
 *
 * @param path folder with `annotations/coco_repope_{random,popular,adversarial}.json` and the COCO images in
 *   `val2014/`
 * @throws FsynError DATASET when files are missing or hold something else
 */
export async function openRepope(path: string, options: PublishedOptions): Promise<Dataset> {
  const folder = await annotationFolder(path);
  const wanted =
    options.subset === undefined ? splits : splits.filter((s) => s === subsetKey(options.subset!));
  if (wanted.length === 0) {
    throw new FsynError(
      'DATASET',
      `repope has no subset ${JSON.stringify(options.subset)}; it has ${splits.join(', ')}.`,
    );
  }
  const missing = wanted.filter((split) => !existsSync(join(folder, fileName(split))));
  if (missing.length > 0) {
    throw new FsynError(
      'DATASET',
      `RePOPE: ${missing.map(fileName).join(', ')} missing in ${folder}; name one split (repope/random:${path}) to measure it alone.`,
    );
  }
  const images = imageFolders.map((name) => join(path, name)).find((candidate) => existsSync(candidate));
  if (!images) {
    throw new FsynError(
      'DATASET',
      `RePOPE: expected the COCO images of 2014's validation set in ${join(path, imageFolders[0])}. fsyn downloads nothing.`,
    );
  }
  const annotations: Annotation[] = [];
  const digests: string[] = [];
  for (const split of wanted) {
    const file = join(folder, fileName(split));
    const source = await readTextFile(file, { code: 'DATASET', what: 'the annotations' });
    digests.push(createHash('sha256').update(source).digest('hex'));
    for (const found of parseAnnotations(file, split, source)) annotations.push(found);
  }
  const pictures = new DataFolder(images, options.allowOutside === true);
  for (const { image, where } of annotations) pictures.check(image, where);
  const entries = joinEqual(annotations, images, pictures);
  if (entries.length > 0 && entries.every(({ imageFile }) => !existsSync(imageFile))) {
    throw new FsynError(
      'DATASET',
      `RePOPE: none of the ${entries.length} images asked about is in ${images}, the first would be ${entries[0].imageFile}.`,
    );
  }
  const truth = await repopeTruth(path, entries);
  if (truth.digest !== '') digests.push(truth.digest);
  const version = createHash('sha256').update(digests.join('\n')).digest('hex').slice(0, 12);
  const known = entries.map((entry) => {
    const marked = truth.of(entry);
    return marked === undefined ? entry : { ...entry, truth: marked, grounding: 'grounded' as const };
  });
  const notes = [...repeatNotes(annotations), ...truth.notes];
  return publishedDataset({ name: 'repope', version, entries: known, notes }, options);
}

function fileName(split: string): string {
  return `coco_repope_${split}.json`;
}

async function annotationFolder(path: string): Promise<string> {
  for (const name of annotationFolders) {
    const names = await listFolder(join(path, name));
    if (names?.some((file) => splits.some((split) => file === fileName(split)))) return join(path, name);
  }
  throw new FsynError(
    'DATASET',
    `RePOPE is not at ${path}: expected a folder with annotations/coco_repope_random.json, _popular.json and _adversarial.json ` +
      '(of the RePOPE repository) and the COCO images in val2014/. fsyn downloads nothing.',
  );
}

function parseAnnotations(file: string, split: string, source: string): Annotation[] {
  return Array.from(jsonLines(source), ({ line, number }) => {
    const where = `${file}:${number}`;
    return { ...conform(annotation, parseJson(line, where, 'DATASET'), where, 'DATASET'), split, where };
  });
}

/** Repeats in one file are worth telling; equal questions of different splits are how the splits are made. */
function repeatNotes(annotations: readonly Annotation[]): string[] {
  const seen = new Set<string>();
  const repeats = annotations.filter(
    ({ image, text, split }) => seen.size === seen.add(`${split} ${image} ${text}`).size,
  );
  if (repeats.length === 0) return [];
  return [
    `repope: ${repeats.length} lines repeat a line of the same file and are asked once; the first: ${repeats[0].where}.`,
  ];
}

/**
 * Equal questions about an image become one entry of all their splits; labels that disagree are a problem of
 * it.
 */
function joinEqual(
  annotations: readonly Annotation[],
  images: string,
  pictures: DataFolder,
): (Entry & { readonly imageFile: string; readonly picture: string })[] {
  const groups = new Map<string, Annotation[]>();
  for (const annotation of annotations) {
    const id = `${annotation.image} ${annotation.text}`;
    const group = groups.get(id);
    if (group) group.push(annotation);
    else groups.set(id, [annotation]);
  }
  return Array.from(groups, ([id, group]) => {
    const [{ image, text, label, where }] = group;
    const imageFile = join(images, image);
    return {
      id,
      question: text,
      answer: label,
      family: 'presence',
      subsets: group.map(({ split }) => split),
      problem: problemOf(group, imageFile),
      imageFile,
      picture: image,
      image: () => pictures.image(image, where),
    };
  });
}

function problemOf(group: readonly Annotation[], file: string): string | undefined {
  const [first] = group;
  const other = group.find(({ label }) => label !== first.label);
  if (other) {
    return `${first.where} labels ${JSON.stringify(first.text)} about ${first.image} ${first.label}, ${other.where} ${other.label}.`;
  }
  if (first.label !== 'yes' && first.label !== 'no')
    return `${first.where}: the label ${JSON.stringify(first.label)} is neither yes nor no.`;
  return existsSync(file) ? undefined : `${first.where}: the image ${file} is missing.`;
}
