import { formatBytes } from '../bytes.js';
import { FsynError } from '../errors.js';
import type { CellTable } from '../metrics/cells.js';
import type { NativeSchedule } from './addon.js';
import type { DecoderWiring, EvaluatorProgram, ProgramMode } from './program.js';

/** Why cells are not run in the cheapest way. */
export interface Fallback {
  readonly code:
    | 'no-cache'
    | 'prefix-not-causal'
    | 'nothing-shared'
    | 'one-row-per-run'
    | 'tokens-left-out'
    | 'caches-on-host';
  readonly reason: string;
}

/** A batch that was cut for want of memory: images or sequences before and after. */
export interface BatchHalving {
  readonly stage: 'vision' | 'prefix' | 'suffix';
  readonly from: number;
  readonly to: number;
}

/** What an evaluation will do, before it does it. */
export interface EvaluationPlan {
  /** Cells wanted, and how many of them are known already. */
  readonly cells: number;
  readonly cachedCells: number;
  /** Image and text states among the cells to be run. */
  readonly imageStates: number;
  readonly textStates: number;
  /** Passes through the language model: one prefix per image state, one suffix per cell; of a dual encoder, per text state. */
  readonly prefixes: number;
  readonly suffixes: number;
  /** Whether prefixes' caches stay in the provider's memory. */
  readonly onDevice: boolean;
  readonly prefixTokens: number;
  readonly suffixTokens: number;
  readonly groups: number;
  /** Worker threads that fit into the budget side by side. */
  readonly workers: number;
  readonly batches: { readonly vision: number; readonly prefix: number; readonly suffix: number };
  /** Estimated floating-point operations; undefined where the model's costs are not known. */
  readonly flops:
    | {
        readonly vision: number;
        readonly prefix: number;
        readonly suffix: number;
        readonly total: number;
        /** The same cells as one full pass each, every image state encoded once. */
        readonly unshared: number;
        /** The same cells with one encoding and one full pass each. */
        readonly naive: number;
      }
    | undefined;
  /**
   * Estimated bytes beside the model's weights: of one worker at its largest, of all workers (0 when nothing is to be run),
   * the budget that they were planned for and the smallest one that would do.
   */
  readonly bytes: {
    readonly worker: number;
    readonly peak: number;
    readonly budget: number;
    readonly least: number;
  };
  readonly fallbacks: readonly Fallback[];
}

/** Sizes that decide how much fits into memory. */
export interface ModelSizes {
  /** Bytes of the key/value cache per token. */
  readonly cacheBytesPerToken: number;
  readonly hidden: number;
  readonly vocabulary: number;
  readonly floatBytes: number;
}

export interface PlanSettings {
  readonly mode: ProgramMode;
  readonly fallbacks: readonly Fallback[];
  readonly workers: number;
  /** Bytes for all workers of this machine together. */
  readonly memory: number;
  /** Shares that the budget is cut into: a property of the machine, so that batches do not depend on `workers`. */
  readonly shares: number;
  readonly sizes: ModelSizes;
}

export interface Schedule {
  readonly plan: EvaluationPlan;
  readonly native: NativeSchedule;
  /** Cell index of every row, in schedule order. */
  readonly rowCells: Int32Array;
}

/** Tokens per run at which the matrix products are efficient; more only costs memory. Measured in bench/micro/evaluator.ts. */
const TARGET_TOKENS = 512;
/** Image states of small models encoded together at most, so that there are enough groups for every worker. */
const GROUPS_WANTED = 16;

/**
 * Turns wanted cells into groups of image states and batches of suffixes.
 *
 * The result depends on the cells, the model and the memory budget only - never on the number of workers - because the
 * bytes of a score may depend on which cells share a batch.
 *
 * @param wanted indices of the cells to run; the others are known
 */
export function makeSchedule(
  program: EvaluatorProgram,
  cells: CellTable,
  wanted: Int32Array,
  settings: PlanSettings,
): Schedule {
  const pairs = cells.pairs();
  const byImage = new Map<number, number[]>();
  for (const cell of wanted) {
    const members = byImage.get(pairs[2 * cell]!);
    if (members) members.push(cell);
    else byImage.set(pairs[2 * cell]!, [cell]);
  }
  // States with many texts first: the last groups are then the short ones, and no worker waits long for another.
  const states = [...byImage.keys()].sort((a, b) => byImage.get(b)!.length - byImage.get(a)!.length || a - b);
  const batches = chooseBatches(program, settings, states.length);
  const groupSize = batches.group;
  const groupOffsets: number[] = [0];
  const rowOffsets: number[] = [0];
  const rowSlots: number[] = [];
  const rowTexts: number[] = [];
  const rowCells: number[] = [];
  const texts = new Set<number>();
  for (let begin = 0; begin < states.length; begin += groupSize) {
    const group = states.slice(begin, begin + groupSize);
    for (const [slot, state] of group.entries()) {
      for (const cell of byImage.get(state)!) {
        rowSlots.push(slot);
        rowTexts.push(pairs[2 * cell + 1]!);
        texts.add(pairs[2 * cell + 1]!);
        rowCells.push(cell);
      }
    }
    groupOffsets.push(begin + group.length);
    rowOffsets.push(rowCells.length);
  }
  const needed = wanted.length > 0;
  const workers = Math.max(1, Math.min(settings.workers, Math.floor(settings.memory / batches.bytes)));
  const native: NativeSchedule = {
    imagePlayers: cells.imagePlayers,
    textPlayers: cells.textPlayers,
    imageStates: cells.imageMasks(),
    textStates: cells.textMasks(),
    groupOffsets: Int32Array.from(groupOffsets),
    groupStates: Int32Array.from(states),
    rowOffsets: Int32Array.from(rowOffsets),
    rowSlots: Int32Array.from(rowSlots),
    rowTexts: Int32Array.from(rowTexts),
    visionBatch: batches.vision,
    prefixBatch: Math.min(batches.prefix, groupSize),
    suffixBatch: batches.suffix,
    workers,
  };
  const tokens = program.tokenIds.length;
  const { prefixLength } = settings.mode;
  const plan: EvaluationPlan = {
    cells: cells.cellCount,
    cachedCells: cells.cellCount - wanted.length,
    imageStates: states.length,
    textStates: texts.size,
    prefixes: prefixLength > 0 ? states.length : 0,
    suffixes: wanted.length,
    onDevice: settings.mode.onDevice === true,
    prefixTokens: prefixLength,
    suffixTokens: tokens - prefixLength,
    groups: groupOffsets.length - 1,
    workers,
    batches: { vision: native.visionBatch, prefix: native.prefixBatch, suffix: native.suffixBatch },
    flops: estimateFlops(program, prefixLength, states.length, wanted.length),
    bytes: {
      worker: batches.bytes,
      peak: needed ? batches.bytes * Math.min(workers, groupOffsets.length - 1) : 0,
      budget: settings.memory,
      least: batches.least,
    },
    fallbacks: settings.fallbacks,
  };
  return { plan, native, rowCells: Int32Array.from(rowCells) };
}

/** Bytes that one sequence of `tokens` after `past` cached ones takes while it runs. */
function sequenceBytes(sizes: ModelSizes, past: number, tokens: number, rows: number): number {
  const { cacheBytesPerToken, hidden, vocabulary, floatBytes } = sizes;
  // The cache given, the cache returned, and a copy that attention makes; about two dozen activations of the hidden size.
  const caches = 3 * cacheBytesPerToken * (past + tokens);
  const activations = 24 * tokens * hidden * floatBytes;
  const attention = 2 * Math.ceil(hidden / 64) * tokens * (past + tokens) * floatBytes;
  return caches + activations + attention + rows * vocabulary * floatBytes;
}

/** What decides how much memory the passes of one sample take. */
export interface PassSizes {
  /** Tokens of the prompt and the scored answer, and how many of them are shared. */
  readonly tokens: number;
  readonly prefixLength: number;
  /** Rows of logits that are wanted, and whether the decoder computes no others. */
  readonly targets: number;
  readonly selectsRows: boolean;
  readonly features: number;
  /** Elements of the pixel input. */
  readonly pixels: number;
  readonly sizes: ModelSizes;
}

/** Bytes of one item of each kind. */
interface ItemBytes {
  readonly vision: number;
  readonly prefix: number;
  readonly suffix: number;
  /** A full pass, which the trial of a decoder runs whatever is shared later. */
  readonly full: number;
  /** What stays of an image state until its cells are scored: its features, and with them the prefix's cache. */
  readonly features: number;
  readonly held: number;
}

function itemBytes({
  tokens,
  prefixLength,
  targets,
  selectsRows,
  features,
  pixels,
  sizes,
}: PassSizes): ItemBytes {
  const suffixTokens = tokens - prefixLength;
  const rows = (length: number, wanted: number) => (selectsRows ? wanted : length);
  const featureBytes = features * sizes.hidden * sizes.floatBytes;
  return {
    // Pixels, their patch embedding, and a tower about as wide as the language model.
    vision: 8 * pixels + sequenceBytes(sizes, 0, Math.max(1, features), 0),
    prefix: prefixLength > 0 ? sequenceBytes(sizes, 0, prefixLength, rows(prefixLength, 1)) : 0,
    suffix: sequenceBytes(sizes, prefixLength, suffixTokens, rows(suffixTokens, targets)),
    full: sequenceBytes(sizes, 0, tokens, rows(tokens, targets)),
    features: featureBytes,
    held: sizes.cacheBytesPerToken * prefixLength + featureBytes,
  };
}

/** The smallest budget that a sample can be scored in: everything one by one, and the trial of two sequences together. */
function leastBytes({ vision, prefix, suffix, full, features, held }: ItemBytes): number {
  return Math.max(vision + features, full + features, prefix + held, (prefix > 0 ? 2 : 1) * suffix + held);
}

/**
 * Throws unless a sample of these sizes can be scored in `memory` bytes.
 *
 * @throws FsynError BUDGET, naming the smallest budget that would do
 */
export function checkBudget(needs: PassSizes, memory: number): void {
  const least = leastBytes(itemBytes(needs));
  if (memory >= least) return;
  throw new FsynError(
    'BUDGET',
    `A memory budget of ${formatBytes(memory)} is too small: one image state and sequences of ${needs.tokens} tokens need ` +
      `${formatBytes(least)} (${least} bytes) beside the model's weights.`,
  );
}

function chooseBatches(
  program: EvaluatorProgram,
  { mode, memory, shares, sizes, fallbacks }: PlanSettings,
  states: number,
): { vision: number; prefix: number; suffix: number; group: number; bytes: number; least: number } {
  const share = memory / shares;
  const needs = {
    tokens: program.tokenIds.length,
    prefixLength: mode.prefixLength,
    targets: program.targets.length,
    selectsRows: selectsRows(program.wiring),
    features: program.imagePositions.length,
    pixels: program.pixels.length,
    sizes,
  };
  if (states > 0) checkBudget(needs, memory);
  const item = itemBytes(needs);
  const single = fallbacks.some((fallback) => fallback.code === 'one-row-per-run');
  const fit = (room: number, perItem: number, tokens: number, most: number) =>
    Math.max(1, Math.min(Math.floor(room / perItem), Math.ceil(TARGET_TOKENS / tokens), most));
  const half = share / 2;
  const prefix =
    mode.prefixLength > 0
      ? fit(half, item.prefix + item.held, mode.prefixLength, states)
      : Math.max(1, states);
  const group = Math.max(
    1,
    Math.min(prefix, Math.floor(half / item.held), Math.ceil(states / GROUPS_WANTED)),
  );
  const held = group * item.held;
  const suffix =
    mode.compact || single
      ? 1
      : fit(Math.min(half, share - held), item.suffix, needs.tokens - mode.prefixLength, Infinity);
  const vision = visionBatchable(program) ? fit(half, item.vision, Math.max(1, needs.features), group) : 1;
  const bytes = Math.max(
    vision * item.vision + group * item.features,
    Math.min(prefix, group) * item.prefix + held,
    suffix * item.suffix + held,
  );
  return { vision, prefix, suffix, group, bytes, least: leastBytes(item) };
}

/** Whether image states can be stacked along the first axis of every vision input. */
function visionBatchable({ vision }: EvaluatorProgram): boolean {
  return vision.inputs.every((input) => typeof input.shape[0] === 'string');
}

/** Whether the decoder computes logits for wanted rows only. */
export function selectsRows(wiring: DecoderWiring): boolean {
  return wiring.keep !== undefined || wiring.rows !== undefined;
}

function estimateFlops(
  program: EvaluatorProgram,
  prefixLength: number,
  states: number,
  cells: number,
): EvaluationPlan['flops'] {
  const { costs, targets, tokenIds } = program;
  if (costs === undefined) return undefined;
  const pass = (past: number, tokens: number, rows: number) =>
    tokens * costs.tokenFlops + rows * costs.headFlops + attendedPairs(past, tokens) * costs.attentionFlops;
  const rowsOf = (tokens: number, wanted: number) => (selectsRows(program.wiring) ? wanted : tokens);
  const suffixTokens = tokenIds.length - prefixLength;
  const vision = states * costs.visionFlops;
  const prefix = prefixLength > 0 ? states * pass(0, prefixLength, rowsOf(prefixLength, 1)) : 0;
  const suffix = cells * pass(prefixLength, suffixTokens, rowsOf(suffixTokens, targets.length));
  const full = pass(0, tokenIds.length, tokenIds.length);
  return {
    vision,
    prefix,
    suffix,
    total: vision + prefix + suffix,
    unshared: vision + cells * full,
    naive: cells * (costs.visionFlops + full),
  };
}

/** Exports compute the full rectangle of scores and mask the future afterwards. */
function attendedPairs(past: number, tokens: number): number {
  return tokens * (past + tokens);
}
