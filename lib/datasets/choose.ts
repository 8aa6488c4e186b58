import { createHash } from 'node:crypto';
import type { Dataset, Grounding } from './types.js';

/** What a choice among samples looks at: never their place in a file. */
export interface Choosable {
  readonly id: string;
  readonly grounding?: Grounding;
}

export interface ChoiceOptions {
  readonly limit: number;
  readonly seed: number;
}

/** Ids and groundings of a dataset's samples, in order; no image is read. */
export async function outlineOf(dataset: Dataset, signal: AbortSignal | undefined): Promise<Choosable[]> {
  const outline: Choosable[] = [];
  for await (const { id, grounding } of dataset.samples()) {
    signal?.throwIfAborted();
    outline.push({ id, grounding });
  }
  return outline;
}

/** The entries in the order of the SHA-256 of seed and id. */
export function orderByHash<T extends Choosable>(entries: readonly T[], seed: number): T[] {
  const keyed = entries.map((entry) => ({
    entry,
    key: createHash('sha256').update(`${seed}\n${entry.id}`).digest('hex'),
  }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : 1));
  return keyed.map(({ entry }) => entry);
}

/**
 * The first `limit` entries of an order that depends on ids, groundings and seed alone, so that a larger
 * limit adds to a smaller one. Kinds of grounding take turns in proportion to their numbers, one of each
 * first: a few samples hold every kind. Entries of one kind, or without one, are in the order of the hash.
 */
export function chooseSpread<T extends Choosable>(
  entries: readonly T[],
  { limit, seed }: ChoiceOptions,
): T[] {
  const kinds = ['grounded', 'text-prior', 'image-prior', undefined] as const;
  const placed = kinds.flatMap((kind, turn) => {
    const own = orderByHash(
      entries.filter(({ grounding }) => grounding === kind),
      seed,
    );
    return own.map((entry, i) => ({ entry, place: i / own.length, turn }));
  });
  placed.sort((a, b) => a.place - b.place || a.turn - b.turn);
  return placed.slice(0, limit).map(({ entry }) => entry);
}

/**
 * As `chooseSpread`, with the entries first that need image and question: on the others no explanation can
 * find a joint effect. Entries without a grounding come next, those that one modality answers last.
 */
export function chooseGrounded<T extends Choosable>(
  entries: readonly T[],
  { limit, seed }: ChoiceOptions,
): T[] {
  const grounded = entries.filter(({ grounding }) => grounding === 'grounded');
  const unknown = entries.filter(({ grounding }) => grounding === undefined);
  const prior = entries.filter(({ grounding }) => grounding !== 'grounded' && grounding !== undefined);
  const order = [grounded, unknown, prior].flatMap((kind) =>
    chooseSpread(kind, { limit: kind.length, seed }),
  );
  return order.slice(0, limit);
}
