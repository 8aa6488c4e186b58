import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FsynError } from '../errors.js';
import type { Guarantee } from '../statistics/sequential.js';
import type { CertainPair, Place } from '../statistics/sequential-ranking.js';

/** What a run that stops when the order is certain found, beside its rows. */
export const toldApartFile = 'told-apart.json';

/** A pair by mean raw F_syn, with anytime-valid p-values of both orders, Holm's correction made. */
export interface SequentialPair {
  readonly one: string;
  readonly other: string;
  readonly samples: number;
  readonly mean: number;
  readonly above: number;
  readonly below: number;
}

/** How far one model's ranking was settled. */
export interface ToldApart {
  readonly model: string;
  readonly alpha: number;
  readonly guarantee: Guarantee;
  /** The pair that was asked for; null for the whole ranking. */
  readonly pair: readonly [string, string] | null;
  readonly isCertain: boolean;
  /** Samples that were measured, and samples there are. */
  readonly samples: number;
  readonly available: number;
  readonly places: readonly Place[];
  readonly certain: readonly CertainPair[];
  readonly pairs: readonly SequentialPair[];
}

/**
 * Reads a results folder's told-apart.json; empty when there is none.
 *
 * @throws FsynError RESULTS where it is not what a run writes
 */
export function readToldApart(folder: string): readonly ToldApart[] {
  const path = join(folder, toldApartFile);
  if (!existsSync(path)) return [];
  try {
    const list = JSON.parse(readFileSync(path, 'utf8')) as ToldApart[];
    if (list.every(({ model, places, pairs }) => model && Array.isArray(places) && Array.isArray(pairs)))
      return list;
  } catch (cause) {
    throw new FsynError('RESULTS', `${path} is not JSON. It may be deleted; the rows are whole.`, { cause });
  }
  throw new FsynError('RESULTS', `${path} is not what a run writes. It may be deleted; the rows are whole.`);
}
