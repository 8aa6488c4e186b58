import {
  fragmentation,
  itemBytes,
  leastBytes,
  type PassSizes,
  workerBytes,
  workerPeak,
} from './pass-memory.js';
import { type Fallback, fellBack } from './plan.js';
import type { ProgramMode } from './program.js';

/**
 * Tokens per run at which the matrix products are efficient; more only costs memory. Measured in
 * bench/micro/evaluator.ts.
 */
export const TARGET_TOKENS = 512;
/**
 * Image states of small models encoded together at most, so that there are enough groups for every worker.
 */
const GROUPS_WANTED = 16;

/** What one run takes on, and how many image states are in work. */
export interface Batches {
  readonly vision: number;
  readonly prefix: number;
  readonly suffix: number;
  readonly group: number;
}

/** What the smallest budget is made of. */
const ONE_BY_ONE: Batches = { vision: 1, prefix: 1, suffix: 1, group: 1 };

export interface BatchSettings {
  readonly mode: ProgramMode;
  readonly fallbacks: readonly Fallback[];
  /** Bytes for all workers of this machine together. */
  readonly memory: number;
  /**
   * Shares that the budget is cut into: a property of the machine, so that batches do not depend on
   * `workers`.
   */
  readonly shares: number;
}

/**
 * The largest batches that fit into a share of the memory and are of use, one by one where something stands
 * against more.
 */
export function chooseBatches(
  needs: PassSizes,
  { mode, memory, shares, fallbacks }: BatchSettings,
  states: number,
): Batches {
  const item = itemBytes(needs);
  const apartFor = (...codes: Fallback['code'][]) =>
    ['untried' as const, ...codes].some((code) => fellBack(fallbacks, code));
  const single = (mode.compact && !mode.padded) || apartFor('one-row-per-run', 'activations-quantized');
  const share = memory / shares;
  if (share <= leastBytes(item)) return ONE_BY_ONE;
  const fit = (room: number, perItem: number, tokens: number, most: number) =>
    Math.max(1, Math.min(Math.floor(room / perItem), Math.ceil(TARGET_TOKENS / tokens), most));
  const room = (share - workerBytes) / fragmentation;
  const wanted = Math.max(1, Math.ceil(states / GROUPS_WANTED));
  const separate = fellBack(fallbacks, 'one-image-per-run') || fellBack(fallbacks, 'untried');
  const vision = separate ? 1 : powerOfTwo(fit(room / 4, item.vision, Math.max(1, needs.features), wanted));
  const half = (room - vision * item.vision) / 2;
  const prefix =
    mode.prefixLength === 0
      ? Math.max(1, states)
      : apartFor('one-prefix-per-run')
        ? 1
        : powerOfTwo(fit(half, item.prefix + item.held, mode.prefixLength, Math.max(1, states)));
  // States that share neither kind of run are better spread over workers: the last groups are then half as
  // long.
  const apart = vision === 1 && prefix === 1 && mode.onDevice !== true;
  const together = mode.prefixLength > 0 ? Math.max(prefix, vision) : prefix;
  const most = apart ? 1 : Math.max(1, Math.min(together, Math.floor(half / item.held), wanted));
  const group = most > vision ? most - (most % vision) : most;
  const left = 2 * half - group * item.held;
  const suffix = single ? 1 : fit(left, item.suffix, needs.tokens - mode.prefixLength, Infinity);
  const batches = { vision: Math.min(vision, group), prefix: Math.min(prefix, group), suffix, group };
  // Items larger than their part of the share.
  return workerPeak(item, batches) <= share ? batches : ONE_BY_ONE;
}

/** The largest that is at most `count`: every size is tried once, and so there are few. */
function powerOfTwo(count: number): number {
  return 2 ** Math.floor(Math.log2(count));
}
