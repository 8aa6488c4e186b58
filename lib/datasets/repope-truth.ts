import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type CocoObject, readCocoObjects } from './coco-instances.js';
import type { Entry } from './published.js';
import type { GroundTruth } from './types.js';

const names = ['annotations/instances_val2014.json', 'instances_val2014.json'];

/** What COCO's instances say about RePOPE's questions. */
export interface RepopeTruth {
  /** Of the annotations that count; empty without the file. */
  readonly digest: string;
  readonly notes: readonly string[];
  of(entry: Pick<Entry, 'id'>): GroundTruth | undefined;
}

/** A question as RePOPE asks it. */
export interface AskedObject {
  readonly id: string;
  /** File name of the image. */
  readonly picture: string;
  readonly question: string;
  readonly answer: string;
}

/**
 * Ground truth from a local `instances_val2014.json` beside the data, where there is one. Of a question that
 * is answered yes, the asked object's boxes decide with the words that name it, and the other objects are
 * distractors. A no has no place that decides: the words alone are marked, which the Oracle controls are not
 * compared on. A yes without a box (RePOPE corrected COCO there) has no truth.
 *
 * @throws FsynError DATASET where the file is damaged
 */
export async function repopeTruth(folder: string, asked: readonly AskedObject[]): Promise<RepopeTruth> {
  const path = names.map((name) => join(folder, name)).find((candidate) => existsSync(candidate));
  if (path === undefined) return { digest: '', notes: [], of: () => undefined };
  const { objects, categories } = await readCocoObjects(path, new Set(asked.map(({ picture }) => picture)));
  const truths = new Map<string, GroundTruth>();
  let [unnamed, unmarked] = [0, 0];
  for (const { id, picture, question, answer } of asked) {
    const name = objectOf(question, categories);
    const truth = name && truthOf(name, answer, objects.get(picture) ?? []);
    if (truth) truths.set(id, truth);
    else if (name === undefined) unnamed++;
    else unmarked++;
  }
  const notes = [
    `repope: ground truth of ${truths.size} of ${asked.length} questions from ${path}` +
      `${unmarked > 0 ? `; ${unmarked} answered yes have no box there` : ''}` +
      `${unnamed > 0 ? `; ${unnamed} name no COCO category` : ''}.`,
  ];
  const kept = JSON.stringify([...truths].sort(([a], [b]) => (a < b ? -1 : 1)));
  const digest = createHash('sha256').update(kept).digest('hex');
  return { digest, notes, of: ({ id }) => truths.get(id) };
}

/** The words of the question that name a category. */
interface Named {
  readonly name: string;
  readonly words: readonly [number, number];
}

function objectOf(question: string, categories: ReadonlySet<string>): Named | undefined {
  const match = /^(is there an? )(.+?) in the (?:image|imange)\s*\?$/i.exec(question.trim());
  if (match === null) return undefined;
  const name = match[2].toLowerCase();
  const from = question.indexOf(match[2], match[1].length);
  return categories.has(name) ? { name, words: [from, from + match[2].length] } : undefined;
}

function truthOf(
  { name, words }: Named,
  answer: string,
  objects: readonly CocoObject[],
): GroundTruth | undefined {
  const boxes = answer === 'yes' ? objects.filter(({ category }) => category === name) : [];
  if (answer === 'yes' && boxes.length === 0) return undefined;
  const distractors = objects.filter(({ category, crowd }) => category !== name && !crowd);
  return {
    boxes: boxes.map(({ box }) => box),
    words: [words],
    ...(distractors.length === 0 ? {} : { distractors: distractors.map(({ box }) => box) }),
  };
}
