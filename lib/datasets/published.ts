import { FsynError } from '../errors.js';
import type { RgbImage } from '../vlm/types.js';
import { orderByHash } from './choose.js';
import type { Dataset, Grounding, GroundTruth, Sample } from './types.js';

/** How much of a published dataset to take. */
export interface PublishedOptions {
  /** A split, task or category; all of them without it. */
  readonly subset: string | undefined;
  readonly limit: number;
  /** Decides which samples a limit takes. */
  readonly seed: number;
  /** Whether pictures that are links to outside the data's folder are read. */
  readonly allowOutside?: boolean;
}

/** One question of a published dataset. */
export interface Entry {
  readonly id: string;
  readonly question: string;
  readonly answer: string;
  readonly family: string;
  readonly choices?: readonly string[];
  /** Names of the subsets that it belongs to. */
  readonly subsets: readonly string[];
  readonly truth?: GroundTruth;
  readonly grounding?: Grounding;
  /** Why it cannot be asked: it becomes a failed row with this reason. */
  readonly problem?: string;
  image(): Promise<RgbImage>;
}

/** What a published dataset is made of. */
export interface Published {
  readonly name: string;
  readonly version: string;
  readonly entries: readonly Entry[];
  readonly instruction?: Sample['instruction'];
  readonly instructions?: Sample['instructions'];
  /** What a person should know besides the problems of single entries. */
  readonly notes: readonly string[];
}

/**
 * Makes a dataset of a published one: the questions of the wanted subset in an order that depends on their
 * ids and the seed alone, cut at the limit. So a limit takes the same samples however files are ordered, and
 * a larger one adds to them.
 *
 * @throws FsynError DATASET when there are no entries, ids repeat, or there is no such subset
 */
export function publishedDataset(published: Published, options: PublishedOptions): Dataset {
  const { name, version, entries, instruction, instructions, notes } = published;
  if (entries.length === 0)
    throw new FsynError('DATASET', `${name} holds no questions: its files are empty.`);
  checkIds(name, entries);
  const wanted = ofSubset(name, entries, options.subset);
  const chosen = orderByHash(wanted, options.seed).slice(0, options.limit);
  return {
    name: options.subset === undefined ? name : `${name}/${subsetKey(options.subset)}`,
    version,
    size: chosen.length,
    truthless: chosen.every(({ truth }) => truth === undefined),
    notes: [...notes, ...problemNotes(name, chosen)],
    async *samples() {
      for (const { id, question, answer, family, choices, problem, image, ...known } of chosen) {
        yield {
          id,
          question,
          answer,
          family,
          choices,
          instruction,
          instructions,
          ...(known.truth && { truth: known.truth }),
          ...(known.grounding && { grounding: known.grounding }),
          image: problem === undefined ? image : () => Promise.reject(new FsynError('DATASET', problem)),
        };
      }
    },
  };
}

/** Says so when a copy holds another number of questions than was published. */
export function sizeNotes(name: string, path: string, found: number, published: number): string[] {
  return found === published
    ? []
    : [`${name}: ${path} holds ${found} questions; the published set has ${published}.`];
}

/** How a subset is written on the command line: `science & technology` is `science-technology`. */
export function subsetKey(subset: string): string {
  return subset
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-|-$/g, '');
}

function checkIds(name: string, entries: readonly Entry[]): void {
  const seen = new Set<string>();
  const repeated = entries.filter(({ id }) => seen.size === seen.add(id).size);
  if (repeated.length === 0) return;
  throw new FsynError(
    'DATASET',
    `${name}: ${repeated.length} of ${entries.length} rows repeat the id of a row before them, the first ${JSON.stringify(repeated[0].id)}.`,
  );
}

function ofSubset(name: string, entries: readonly Entry[], subset: string | undefined): readonly Entry[] {
  if (subset === undefined) return entries;
  const key = subsetKey(subset);
  const found = entries.filter((entry) => entry.subsets.some((own) => subsetKey(own) === key));
  if (found.length > 0) return found;
  const counts = new Map<string, number>();
  for (const { subsets } of entries)
    for (const own of subsets) counts.set(subsetKey(own), (counts.get(subsetKey(own)) ?? 0) + 1);
  const known = Array.from(counts, ([own, count]) => `${own} (${count})`).sort();
  throw new FsynError(
    'DATASET',
    `${name} has no subset ${JSON.stringify(subset)}; it has ${known.join(', ')}.`,
  );
}

function problemNotes(name: string, chosen: readonly Entry[]): string[] {
  const bad = chosen.filter(({ problem }) => problem !== undefined);
  if (bad.length === 0) return [];
  return [
    `${name}: ${bad.length} of ${chosen.length} questions cannot be asked and will be failed rows; the first: ${bad[0].problem}`,
  ];
}
